"""Tests of medprism.prompts."""
