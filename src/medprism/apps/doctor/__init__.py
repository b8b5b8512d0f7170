"""`medprism doctor`: does this installation work, and if not, what mends it."""
