"""What a mask writer is given: labels with numbers, names and colours, and their image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Shaped

from medprism.core.errors import GeometryError, LabelError
from medprism.core.image import Image, PlaneStack
from medprism.core.labels import LabelMap, Labels
from medprism.io.deidentify import Deidentifier
from medprism.io.mask_file import Colour, is_colour
from medprism.io.palette import PALETTE, colour

Stack = Shaped[np.ndarray, "slices height width"]

_NO_COLOURS: Final[Mapping[str, Colour]] = MappingProxyType({})


@dataclass(frozen=True)
class Algorithm:
    """What made a mask, for formats that say so; `helped` are labels a person had a hand in."""

    name: str = "medprism"
    version: str = "unknown"
    helped: frozenset[str] = frozenset()

    def kind(self, label: str) -> str:
        """Return DICOM's word for how a label was made.

        >>> Algorithm(helped=frozenset({"cyst"})).kind("cyst")
        'SEMIAUTOMATIC'
        """
        return "SEMIAUTOMATIC" if label in self.helped else "AUTOMATIC"


@dataclass(frozen=True, eq=False)
class MaskExport:
    """Labels on their way into a file.

    `merged` holds one number a voxel; `planes` keeps what overlaps. `colours` has an entry for
    every number of `merged.names`. With `deidentify` nothing may say who the image is of.
    """

    merged: LabelMap
    image: Image
    colours: Mapping[int, Colour]
    algorithm: Algorithm
    labels: Labels | None = None
    deidentify: Deidentifier | None = None

    @property
    def stack(self) -> Stack:
        """The numbers as (slices, height, width)."""
        array = self.merged.array
        return array[None] if self.image.is_planar else array

    def planes(self) -> Iterator[tuple[int, str, PlaneStack]]:
        """Yield number, name and whole plane of every label, by ascending number."""
        for number, name in sorted(self.merged.names.items()):
            if self.labels is not None:
                yield number, name, self.image.to_stack(self.labels[name])
            else:
                yield number, name, np.asarray(self.stack == number)


def prepare_export(
    labels: LabelMap | Labels,
    like: Image,
    *,
    priority: tuple[str, ...] = (),
    colours: Mapping[str, Colour] = _NO_COLOURS,
    algorithm: Algorithm | None = None,
    deidentify: Deidentifier | None = None,
) -> MaskExport:
    """Bring labels, names and colours together; a label without a colour takes its palette colour.

    Raises:
        GeometryError: the labels have another shape than the image.
        LabelError: no label, a number without a name, or a colour that is none or is nobody's.
    """
    merged = labels.to_map(priority) if isinstance(labels, Labels) else labels
    if merged.array.shape != like.shape:
        raise GeometryError(
            f"mask has shape {merged.array.shape} but its image has shape {like.shape}; "
            "both must lie on the same grid, resample the mask first"
        )
    _check_names(merged)
    _check_colours(colours, tuple(merged.names.values()))
    chosen = {number: colours.get(name, colour(number)) for number, name in merged.names.items()}
    planes = labels if isinstance(labels, Labels) else None
    return MaskExport(merged, like, chosen, algorithm or Algorithm(), planes, deidentify)


def palette_of(export: MaskExport) -> Shaped[np.ndarray, "256 3"]:
    """Return the colour table of an indexed picture with the labels' colours in it."""
    table = PALETTE.copy()
    for number, chosen in export.colours.items():
        if number < len(table):
            table[number] = chosen
    return table


def _check_names(merged: LabelMap) -> None:
    nameless = sorted(set(np.unique(merged.array).tolist()) - {0, *merged.names})
    if nameless or 0 in merged.names:
        number = 0 if 0 in merged.names else nameless[0]
        reason = "is the background and has a name" if number == 0 else "has no name"
        raise LabelError(f"label number {number} of the mask {reason}; name the numbers from 1")


def _check_colours(colours: Mapping[str, Colour], names: tuple[str, ...]) -> None:
    for name, chosen in colours.items():
        if name not in names:
            raise LabelError(
                f"there is a colour for {name!r} but no such label; there is {', '.join(names)}"
            )
        if not is_colour(chosen):
            raise LabelError(
                f"the colour of {name!r} is {chosen!r}; it must be red, green and blue, 0 to 255"
            )
