"""zoo: other people's architectures in small, for comparison with our own."""
