"""Layouts of labelled datasets on disk: recognise, read, write, convert. See docs/layouts.md."""
