"""What tasks used, and what to give them."""
