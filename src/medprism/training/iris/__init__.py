"""iris: episodic training of Iris on volumes [Iris, Sec. 3]."""
