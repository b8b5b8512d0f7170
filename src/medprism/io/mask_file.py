"""What a mask file holds: label numbers on a grid, and their names where the file keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from jaxtyping import Bool, Shaped, UInt8, UInt16, UInt32

from medprism.core.errors import FormatVersionError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.labels import Labels

# Red, green, blue; 0 to 255.
Colour: TypeAlias = tuple[int, int, int]
Plane: TypeAlias = Bool[np.ndarray, "..."]
LabelArray: TypeAlias = (
    UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."] | UInt32[np.ndarray, "..."]
)

# The field of a PNG, NRRD or MHA file that holds the names.
KEY: Final = "medprism"
FORMAT: Final = "medprism-mask"
VERSION: Final = 1
_LARGEST: Final = 2**32 - 1


@dataclass(frozen=True, eq=False)
class MaskFile:
    """Label numbers as read: 0 is background; `names` and `colours` hold those the file gives.

    `array` is (height, width) for a picture, else (slices, height, width). Where labels overlap it
    shows the highest number; `covered` holds the whole planes of the labels that this cuts.
    """

    array: LabelArray
    geometry: Geometry
    names: Mapping[int, str]
    colours: Mapping[int, Colour] = field(default_factory=dict)
    covered: Mapping[int, Plane] = field(default_factory=dict)

    @classmethod
    def from_planes(
        cls,
        planes: Mapping[int, Plane],
        geometry: Geometry,
        names: Mapping[int, str],
        colours: Mapping[int, Colour],
    ) -> MaskFile:
        """Merge planes of one shape that may overlap; a plane without a pixel only has its name.

        >>> planes = {1: np.array([[True, True]]), 2: np.array([[False, True]])}
        >>> mask = MaskFile.from_planes(planes, Geometry.pixels((1, 1, 2)), {1: "disc"}, {})
        >>> mask.array.tolist(), mask.to_labels()["disc"].tolist()
        ([[1, 2]], [[True, True]])
        """
        shape = geometry.shape[1:] if geometry.shape[0] == 1 else geometry.shape
        top = max(planes, default=0)
        array = np.zeros(shape, np.min_scalar_type(top))
        for number in sorted(planes):
            array[planes[number].reshape(shape)] = number
        covered = {
            number: plane.reshape(shape)
            for number, plane in planes.items()
            if (plane.reshape(shape) & (array != number)).any()
        }
        return cls(array, geometry, names, colours, covered)

    def to_labels(self) -> Labels:
        """Return one boolean plane per number present, by ascending number.

        A number without a name becomes "label <number>"; numbers that share a name are united.
        """
        planes: dict[str, np.ndarray] = {}
        present = np.unique(self.array[self.array > 0]).tolist()
        for number in sorted({*present, *self.covered}):
            name = self.names.get(number, f"label {number}")
            plane = self.covered.get(number, self.array == number)
            planes[name] = planes[name] | plane if name in planes else plane
        return Labels(planes)


def to_label_numbers(values: Shaped[np.ndarray, "..."]) -> LabelArray:
    """Return label numbers in the smallest unsigned type that holds them.

    Raises:
        ImageReadError: fractions, negative numbers, or numbers above 32 bits.

    >>> to_label_numbers(np.array([0.0, 2.0])).dtype.name
    'uint8'
    """
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and not _is_whole(values):
        raise ImageReadError(
            "it holds fractions or NaN, a mask holds whole numbers; is it an image or a "
            "probability? threshold it first"
        )
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _LARGEST:
        raise ImageReadError(
            f"it holds the label {low if low < 0 else high}; labels must be 0 to {_LARGEST}, "
            "renumber them"
        )
    return values.astype(np.min_scalar_type(high))


def pack_names(names: Mapping[int, str], colours: Mapping[int, Colour] | None = None) -> str:
    """Return the one-line JSON document that our mask files carry (ASCII only)."""
    document: dict[str, object] = {"format": FORMAT, "version": VERSION}
    document["names"] = {str(number): name for number, name in names.items()}
    if colours:
        document["colours"] = {str(number): list(colour) for number, colour in colours.items()}
    return json.dumps(document)


def unpack_names(text: str | None) -> Mapping[int, str]:
    """Return the names of a document of ours; a text of anybody else names nothing.

    Raises:
        FormatVersionError: a newer version wrote it.
        ImageReadError: the document is ours but its names are damaged.

    >>> dict(unpack_names(pack_names({1: "liver"}))), dict(unpack_names("Lavf58"))
    ({1: 'liver'}, {})
    """
    document = _document(text)
    if document is None:
        return MappingProxyType({})
    version, names = document.get("version"), document.get("names")
    if isinstance(version, int) and version > VERSION:
        raise FormatVersionError(
            f"its label names have version {version}, this program reads up to {VERSION}; "
            "update medprism"
        )
    if not isinstance(names, dict) or not all(map(_is_entry, names, names.values())):
        raise ImageReadError("its label names are damaged; write the mask again")
    return MappingProxyType({int(number): name for number, name in names.items()})


def unpack_colours(text: str | None) -> Mapping[int, Colour]:
    """Return the colours of a document of ours; older ones and others' texts hold none.

    Raises:
        ImageReadError: the document is ours but its colours are damaged.

    >>> dict(unpack_colours(pack_names({1: "liver"}, {1: (230, 159, 0)})))
    {1: (230, 159, 0)}
    """
    colours = (_document(text) or {}).get("colours", {})
    if not isinstance(colours, dict) or not all(map(_is_colour, colours, colours.values())):
        raise ImageReadError("its label colours are damaged; write the mask again")
    return MappingProxyType({int(number): tuple(colour) for number, colour in colours.items()})


def _document(text: str | None) -> dict[str, Any] | None:
    try:
        document = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(document, dict) and document.get("format") == FORMAT
    return document if is_ours else None


def _is_entry(number: str, name: object) -> bool:
    return number.isdecimal() and len(number) < 11 and isinstance(name, str)


def _is_colour(number: str, colour: object) -> bool:
    return _is_entry(number, "") and isinstance(colour, list) and is_colour(tuple(colour))


def is_colour(colour: tuple[object, ...]) -> bool:
    """Say whether a tuple is red, green and blue, each 0 to 255.

    >>> is_colour((230, 159, 0)), is_colour((0, 256, 0))
    (True, False)
    """
    parts = [part for part in colour if isinstance(part, int) and not isinstance(part, bool)]
    return len(parts) == len(colour) == 3 and all(0 <= part <= 255 for part in parts)


def _is_whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())
