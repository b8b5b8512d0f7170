"""bench: every system trained for an equal budget on the same sets, examined alike."""
