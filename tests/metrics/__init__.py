"""Tests of medprism.metrics."""
