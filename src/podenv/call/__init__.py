"""A function as what travels: its source and its arguments; and what came back."""
