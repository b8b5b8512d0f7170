"""Tests of medprism.data.datasets."""
