"""The fewest environments that do, what an upgrade would reach, and what a package touches. Changes no environment."""
