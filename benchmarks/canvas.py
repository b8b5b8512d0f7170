"""Where the workbench's page shows a pixel of the image."""

from __future__ import annotations

from typing import Final

PLACE: Final = """([height, width, row, col]) => {
  const box = document.getElementById("canvas").getBoundingClientRect();
  const scale = Math.min((box.width - 32) / width, (box.height - 32) / height);
  return {
    x: box.left + (box.width - width * scale) / 2 + (col + 0.5) * scale,
    y: box.top + (box.height - height * scale) / 2 + (row + 0.5) * scale,
  };
}"""
"""Script for a fitted image: shape and pixel to CSS pixels of the page."""
