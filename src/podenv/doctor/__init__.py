"""What podenv needs here and what of it works: checks that change nothing and run side by side."""
