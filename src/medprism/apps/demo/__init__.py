"""The demo: the main job on real medical images that dependencies ship; `make demo` runs it."""
