"""workbench: see docs/server.md for what it serves."""
