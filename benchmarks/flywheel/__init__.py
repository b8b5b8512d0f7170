"""Clicks that annotating a set of images takes, as accepted masks become references."""
