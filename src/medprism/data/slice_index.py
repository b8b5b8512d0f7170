"""The index of a part in columns: small on disk, quick to open, a row is built when asked for.

A column of the JSON document has one of three forms: {"all": value} where every row has the same,
{"table": [...], "codes": [...]} where few values repeat, {"each": [...]} otherwise. Offsets are
not stored, since records follow one another without gaps. Checks are made on whole columns, so
that opening a store takes little longer than parsing its JSON.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, SupportsIndex, overload

import numpy as np

from medprism.data.slice_row import SliceRow

# Larger numbers are no sizes: they come from damaged files and would overflow the offsets.
_LARGEST: Final = 1 << 20


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    raise TypeError(f"{value!r} is no count")


def _number(value: object) -> float:
    if isinstance(value, float):
        return value
    return float(_count(value))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _pair(value: object) -> tuple[float, float]:
    first, second = _list(value)
    return _number(first), _number(second)


def _grid(value: object) -> tuple[int, ...]:
    grid = tuple(_count(side) for side in _list(value))
    if not all(1 <= side <= _LARGEST for side in grid):
        raise ValueError(f"{value!r} is no grid")
    return grid


def _plane_grid(value: object) -> tuple[int, ...]:
    height, width = _grid(value)
    return height, width


def _pixel_grid(value: object) -> tuple[int, ...]:
    height, width, channels = _grid(value)
    if channels not in (1, 3):
        raise ValueError(f"{channels} channels")
    return height, width, channels


def _or_none(check: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else check(value)


_COLUMNS: Final[Mapping[str, Callable[[object], object]]] = {
    "dataset": _text,
    "case_id": _text,
    "patient": _or_none(_text),
    "split": _text,
    "role": _text,
    "modality": _or_none(_text),
    "slice_index": _or_none(_count),
    "relative_position": _or_none(_number),
    "view": _or_none(_text),
    "spacing": _or_none(_pair),
    "plane": _count,
    "shape": _pixel_grid,
    "source_shape": _plane_grid,
    "digest": _text,
    "is_unlabelled": _flag,
    "num_labels": _count,
}
"""Column -> what turns plain data into its value, or raises TypeError or ValueError."""

_values_of: Final = attrgetter(*list(_COLUMNS)[:-3])
_row: Final[Callable[..., SliceRow]] = SliceRow


class IndexBuilder:
    """Collects rows, column by column, until the index of their part is written."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._label_ids: list[int] = []
        self._areas: list[int] = []
        self.num_bytes = 0
        self.num_unlabelled = 0

    def __len__(self) -> int:
        return len(self._columns["dataset"])

    def add(self, rows: Iterable[SliceRow]) -> None:
        """Add rows in the order of their records."""
        for row in rows:
            # Slices of a volume share its digest; the plane behind it is a column of its own.
            digest = row.content.removesuffix(f":{row.plane}")
            values = (*_values_of(row), digest, row.is_unlabelled, len(row.areas))
            for column, value in zip(self._columns.values(), values, strict=True):
                column.append(value)
            self._label_ids.extend(row.areas)
            self._areas.extend(row.areas.values())
            self.num_bytes += row.num_bytes
            self.num_unlabelled += row.is_unlabelled

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Label ids that any row shows, ascending."""
        return tuple(sorted(set(self._label_ids)))

    def to_json(self) -> dict[str, Any]:
        """Return the columns as plain data."""
        return {
            "num_rows": len(self),
            "columns": {name: _encode(values) for name, values in self._columns.items()},
            "label_ids": self._label_ids,
            "areas": self._areas,
        }


class SliceIndex(Sequence[SliceRow]):
    """The rows of a part, in the order of their records; each is built once."""

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        label_ids: Sequence[int],
        areas: Sequence[int],
    ) -> None:
        self._columns = [columns[name] for name in list(_COLUMNS)[:-1]]
        self._label_ids = label_ids
        self._areas = areas
        self._rows: list[SliceRow | None] = [None] * len(columns["plane"])
        counts = np.array(columns["num_labels"], np.int64)
        shapes = np.array(columns["shape"], np.int64).reshape(-1, 3)
        pixels = shapes[:, 0] * shapes[:, 1]
        sizes = pixels * shapes[:, 2] + counts * -(-pixels // 8)
        self._offsets = _starts(sizes)
        self._labels = _starts(counts)
        self.num_bytes = self._offsets[-1]
        self.unlabelled: Sequence[bool] = columns["is_unlabelled"]
        if self._labels[-1] != len(label_ids) or len(label_ids) != len(areas):
            raise ValueError(f"{len(label_ids)} labels, {len(areas)} areas, {self._labels[-1]} due")

    @classmethod
    def from_json(cls, payload: Mapping[str, Any], num_bytes: int) -> SliceIndex:
        """Check and build the index of a flat file of so many bytes from plain data.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: the data are damaged.
        """
        count = _count(payload["num_rows"])
        if count > num_bytes:
            raise ValueError(f"{count} rows in {num_bytes} bytes")
        columns = {
            name: _decode(payload["columns"][name], check, count)
            for name, check in _COLUMNS.items()
        }
        label_ids, areas = (_checked(payload[key], _count) for key in ("label_ids", "areas"))
        return cls(columns, label_ids, areas)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: SupportsIndex) -> SliceRow: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[SliceRow, ...]: ...
    def __getitem__(self, number: SupportsIndex | slice) -> SliceRow | tuple[SliceRow, ...]:
        if isinstance(number, slice):
            return tuple(self[index] for index in range(*number.indices(len(self))))
        place = range(len(self))[number]
        row = self._rows[place]
        if row is None:
            row = self._rows[place] = self._build(place)
        return row

    def _build(self, number: int) -> SliceRow:
        values = [column[number] for column in self._columns]
        plane, shape, source_shape, digest, is_unlabelled = values[-5:]
        inside = slice(self._labels[number], self._labels[number + 1])
        areas = dict(zip(self._label_ids[inside], self._areas[inside], strict=True))
        content = f"{digest}:{plane}"
        offset = self._offsets[number]
        return _row(*values[:-5], plane, shape, source_shape, areas, content, offset, is_unlabelled)


class ChosenRows(Sequence[SliceRow]):
    """Some rows of several parts, in order, numbered through."""

    def __init__(self, parts: Iterable[Sequence[SliceRow]], *, is_unlabelled: bool) -> None:
        self._parts = tuple(parts)
        self._chosen = [_choose(part, is_unlabelled) for part in self._parts]
        self._starts = _starts(np.array([len(numbers) for numbers in self._chosen], np.int64))

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, number: SupportsIndex) -> SliceRow: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[SliceRow, ...]: ...
    def __getitem__(self, number: SupportsIndex | slice) -> SliceRow | tuple[SliceRow, ...]:
        if isinstance(number, slice):
            return tuple(self[index] for index in range(*number.indices(len(self))))
        index = range(len(self))[number]
        part = bisect_right(self._starts, index) - 1
        return self._parts[part][self._chosen[part][index - self._starts[part]]]

    def __iter__(self) -> Iterator[SliceRow]:
        for part, numbers in zip(self._parts, self._chosen, strict=True):
            for number in numbers:
                yield part[number]


def _choose(part: Sequence[SliceRow], is_unlabelled: bool) -> Sequence[int]:
    # Parts of version 1 are tuples of rows, all of them labelled.
    if not isinstance(part, SliceIndex):
        return range(0 if is_unlabelled else len(part))
    chosen: list[int] = np.flatnonzero(np.array(part.unlabelled, bool) == is_unlabelled).tolist()
    return chosen


def _starts(sizes: np.ndarray) -> list[int]:
    return [0, *np.cumsum(sizes).tolist()]


def _encode(values: Sequence[Any]) -> dict[str, Any]:
    table = {value: code for code, value in enumerate(dict.fromkeys(values))}
    if len(table) == 1:
        return {"all": values[0]}
    if 2 * len(table) <= len(values):
        return {"table": list(table), "codes": [table[value] for value in values]}
    return {"each": list(values)}


def _decode(
    column: Mapping[str, Any], check: Callable[[object], object], count: int
) -> Sequence[Any]:
    if "all" in column:
        return [check(column["all"])] * count
    if "table" in column:
        table = _checked(column["table"], check)
        values: Sequence[Any] = [table[code] for code in _checked(column["codes"], _count)]
    else:
        values = _checked(column["each"], check)
    if len(values) != count:
        raise ValueError(f"a column of {len(values)} values for {count} rows")
    return values


def _checked(values: object, check: Callable[[object], object]) -> list[Any]:
    """Check all values; of texts any one decides, and of integers the least and the largest."""
    found = _list(values)
    kinds = set(map(type, found))
    if kinds == {str}:
        check(found[0])
        return found
    if kinds == {int}:
        numbers: list[Any] = found
        check(min(numbers))
        check(max(numbers))
        return numbers
    return [check(value) for value in found]
