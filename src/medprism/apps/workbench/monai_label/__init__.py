"""monai_label: see docs/server.md for what it serves."""
