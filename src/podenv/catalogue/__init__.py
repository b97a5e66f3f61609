"""Environments as values files say them: names, quantities, the typed specification. No program, no network."""
