"""Official packages with a user's own weights, each in a process of its own interpreter."""
