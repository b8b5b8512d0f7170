"""What a mask file holds: label numbers on a grid, and their names where the file keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16, UInt32

from medprism.core.errors import FormatVersionError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.labels import Labels

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
    """Label numbers as read: 0 is background; `names` holds those the file names.

    `array` is (height, width) for a picture, else (slices, height, width).
    """

    array: LabelArray
    geometry: Geometry
    names: Mapping[int, str]

    def to_labels(self) -> Labels:
        """Return one boolean plane per number present, by ascending number.

        A number without a name becomes "label <number>"; numbers that share a name are united.
        """
        planes: dict[str, np.ndarray] = {}
        for number in np.unique(self.array[self.array > 0]).tolist():
            name = self.names.get(number, f"label {number}")
            plane = self.array == number
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


def pack_names(names: Mapping[int, str]) -> str:
    """Return the names as the one-line JSON document that our mask files carry (ASCII only)."""
    listed = {str(number): name for number, name in names.items()}
    return json.dumps({"format": FORMAT, "version": VERSION, "names": listed})


def unpack_names(text: str | None) -> Mapping[int, str]:
    """Return the names of a document of ours; a text of anybody else names nothing.

    Raises:
        FormatVersionError: a newer version wrote it.
        ImageReadError: the document is ours but its names are damaged.

    >>> dict(unpack_names(pack_names({1: "liver"}))), dict(unpack_names("Lavf58"))
    ({1: 'liver'}, {})
    """
    try:
        document = json.loads(text or "")
    except (ValueError, RecursionError):
        return MappingProxyType({})
    if not isinstance(document, dict) or document.get("format") != FORMAT:
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


def _is_entry(number: str, name: object) -> bool:
    return number.isdecimal() and len(number) < 11 and isinstance(name, str)


def _is_whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())
