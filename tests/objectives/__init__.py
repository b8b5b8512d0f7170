"""Tests of medprism.objectives."""
