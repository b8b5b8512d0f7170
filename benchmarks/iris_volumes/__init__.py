"""Iris on whole volumes, beside its rivals: one command a question, one JSON file each."""
