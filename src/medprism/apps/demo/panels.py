"""One picture of the three kinds of knowledge, side by side with captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medprism.io.sheet import Page, Picture, beside, captioned, enlarged

CAPTIONS: Final = {"class": "by class", "reference": "by example", "clicks": "by clicks"}
SCALE: Final = 2
BAND: Final = 34
GAP: Final = 8


def compose(panels: Mapping[str, Picture]) -> Page:
    """Return the panels that are there, enlarged, in a fixed order, each under its caption."""
    drawn = [
        captioned(enlarged(panels[name], SCALE), above=text, band=BAND)
        for name, text in CAPTIONS.items()
        if name in panels
    ]
    return beside(drawn, GAP)
