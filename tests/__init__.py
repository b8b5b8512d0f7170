"""Tests, mirroring src/medprism; a package, so that two floors may share a file name."""
