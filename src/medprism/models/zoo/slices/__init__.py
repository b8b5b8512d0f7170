"""slices: other people's mechanisms behind the contract of a session, beside K-Prism."""
