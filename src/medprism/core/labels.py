"""Labels as boolean planes: overlap is legal, an integer map is an export."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16

from medprism.core.errors import LabelError

Plane = Bool[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class LabelMap:
    """An integer map with the name of each number and what the export had to drop.

    `dropped` counts, per label, the pixels that a label of higher priority covers.
    """

    array: UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]
    names: Mapping[int, str]
    dropped: Mapping[str, int]


class Labels:
    """Named boolean planes of one shape, in order; the order is the default priority."""

    def __init__(self, planes: Mapping[str, Plane]) -> None:
        shapes = {plane.shape for plane in planes.values()}
        if len(shapes) > 1:
            raise LabelError(
                f"label planes have different shapes {sorted(shapes)}; align them first"
            )
        self._planes = dict(planes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self._planes)

    def __getitem__(self, name: str) -> Plane:
        if name not in self._planes:
            raise LabelError(f"no label {name!r}; there is {', '.join(self._planes) or 'none'}")
        return self._planes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._planes

    def __iter__(self) -> Iterator[tuple[str, Plane]]:
        return iter(self._planes.items())

    def __len__(self) -> int:
        return len(self._planes)

    def to_map(self, priority: tuple[str, ...] = ()) -> LabelMap:
        """Merge the planes into one integer map, 0 for background.

        Numbers follow the order of the labels, from 1. Where labels overlap the one named first in
        `priority` wins; labels not named there come after, the last added (most specific) first.

        Raises:
            LabelError: no label, an unknown name in `priority`, or more labels than 16 bit hold.

        >>> planes = {"liver": np.array([True, True]), "tumour": np.array([False, True])}
        >>> merged = Labels(planes).to_map()
        >>> merged.array.tolist(), merged.dropped["liver"]
        ([1, 2], 1)
        """
        if not self._planes or len(self._planes) > 65535:
            raise LabelError(f"{len(self._planes)} labels cannot form a map; 1..65535 can")
        for name in priority:
            _ = self[name]
        rest = [name for name in reversed(self.names) if name not in priority]
        winners_first = [*dict.fromkeys(priority), *rest]
        shape = next(iter(self._planes.values())).shape
        dtype = np.uint8 if len(self._planes) <= 255 else np.uint16
        array = np.zeros(shape, dtype)
        number = {name: index for index, name in enumerate(self.names, start=1)}
        dropped: dict[str, int] = {}
        for name in winners_first:
            plane = self._planes[name]
            taken = plane & (array > 0)
            dropped[name] = int(taken.sum())
            array[plane & ~taken] = number[name]
        names = {index: name for name, index in number.items()}
        return LabelMap(array, MappingProxyType(names), MappingProxyType(dropped))


def encode_runs(plane: Plane) -> list[int]:
    """Run-length encode a plane in C order: lengths of alternating runs, starting with False.

    >>> encode_runs(np.array([[False, True], [True, False]]))
    [1, 2, 1]
    """
    flat = plane.reshape(-1).astype(np.int8)
    if flat.size == 0:
        return []
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return [0, *runs] if flat[0] else list(runs)


def decode_runs(runs: list[int], shape: tuple[int, ...]) -> Plane:
    """Undo `encode_runs`.

    Raises:
        LabelError: the runs are negative or do not add up to the shape.

    >>> decode_runs([1, 2, 1], (2, 2)).tolist()
    [[False, True], [True, False]]
    """
    total = math.prod(shape)
    if not all(isinstance(run, int) and run >= 0 for run in runs) or sum(runs) != total:
        raise LabelError(
            f"the {len(runs)} run lengths must be integers of at least 0 that add up to {total} "
            f"for shape {shape}; the mask is damaged, load an older copy"
        )
    lengths: Int64[np.ndarray, " runs"] = np.asarray(runs, dtype=np.int64)
    values = np.arange(lengths.size) % 2 == 1
    return np.repeat(values, lengths).reshape(shape)
