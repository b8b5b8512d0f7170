"""Tests of medprism.data."""
