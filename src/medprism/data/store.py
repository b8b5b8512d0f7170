"""Slice store: every slice of every dataset as bytes in flat memory-mapped files.

A store is a folder. `store.json` lists the datasets with their licences and points to one *part*
per dataset: an index (`.json`: one column per fact, see `slice_index`) and a flat file (`.bin`: for
each row its uint8 pixels, then one bit-packed plane per label id that is present). Parts carry a
hash of their source in the name, so a store is replaced by writing new parts first and `store.json`
last. Parts of version 1 (one JSON object a row) are read too.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, UInt8

from medprism.core.durable import read_json
from medprism.core.errors import FormatVersionError, LabelError, StoreError
from medprism.data.case import DatasetInfo
from medprism.data.slice_index import ChosenRows, SliceIndex
from medprism.data.slice_row import SliceRow

STORE_FORMAT: Final = "medprism-slice-store"
PART_FORMAT: Final = "medprism-slice-store-part"
VERSION: Final = 2
MANIFEST: Final = "store.json"


class SliceStore:
    """A prepared store, read through memory maps; safe to read from several threads.

    `rows` are what training and evaluation choose from: pictures, and labelled slices of volumes.
    Slices of volumes on which nothing is labelled are a store of their own, `unlabelled()`.
    """

    def __init__(
        self,
        path: Path,
        infos: Mapping[str, DatasetInfo],
        rows: Sequence[SliceRow],
        maps: Mapping[str, UInt8[np.ndarray, " bytes"]],
        unlabelled: Sequence[SliceRow] = (),
    ) -> None:
        self.path = path
        self.infos = infos
        self.rows = rows
        self._maps = maps
        self._unlabelled = unlabelled

    @classmethod
    def open(cls, path: Path) -> SliceStore:
        """Open the store in a folder.

        Raises:
            StoreError: there is none, or its parts are missing or damaged.
            FormatVersionError: it was written by a newer version.
        """
        manifest = read_manifest(path)
        if manifest is None:
            raise StoreError(
                f"{path} holds no slice store; make one: medprism data prepare FOLDER -o {path}"
            )
        infos: dict[str, DatasetInfo] = {}
        parts: list[Sequence[SliceRow]] = []
        maps: dict[str, UInt8[np.ndarray, " bytes"]] = {}
        for name, entry in manifest["datasets"].items():
            infos[name] = info_from_json(entry["info"])
            maps[name] = _map_bytes(path / f"{entry['part']}.bin")
            parts.append(_read_rows(path / f"{entry['part']}.json", int(maps[name].size)))
        labelled, unlabelled = (ChosenRows(parts, is_unlabelled=flag) for flag in (False, True))
        return cls(path, infos, labelled, maps, unlabelled)

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, row: int) -> UInt8[np.ndarray, "height width channels"]:
        """Return the pixels of a row, a read-only view: 1 channel (grey) or 3 (RGB)."""
        entry = self.rows[row]
        flat = self._maps[entry.dataset]
        return flat[entry.offset : entry.offset + entry.image_bytes].reshape(entry.shape)

    def plane(self, row: int, label_ids: tuple[int, ...]) -> Bool[np.ndarray, "height width"]:
        """Return where any of the label ids is, on the row's grid; absent ids add nothing."""
        entry = self.rows[row]
        flat = self._maps[entry.dataset]
        start = entry.offset + entry.image_bytes
        height, width, _ = entry.shape
        packed = np.zeros(entry.plane_bytes, np.uint8)
        for position, label_id in enumerate(entry.areas):
            if label_id in label_ids:
                first = start + position * entry.plane_bytes
                packed |= flat[first : first + entry.plane_bytes]
        bits = np.unpackbits(packed, count=height * width)
        return bits.reshape(height, width).view(np.bool_)

    def only(self, datasets: Collection[str]) -> SliceStore:
        """Return a view with the rows of some datasets, numbered anew."""
        return SliceStore(
            self.path,
            {name: info for name, info in self.infos.items() if name in datasets},
            tuple(row for row in self.rows if row.dataset in datasets),
            {name: flat for name, flat in self._maps.items() if name in datasets},
            tuple(row for row in self._unlabelled if row.dataset in datasets),
        )

    def with_rows(self, rows: Sequence[SliceRow], infos: Mapping[str, DatasetInfo]) -> SliceStore:
        """Return a view whose rows and descriptions say something else about the same bytes."""
        return SliceStore(self.path, infos, rows, self._maps, self._unlabelled)

    def unlabelled(self, dataset: str | None = None) -> SliceStore:
        """Return a view with the slices on which nothing is labelled, for false positives.

        Its rows have empty `areas` and every plane of them is empty. That nothing is labelled says
        that nothing is there only of what the dataset labels exhaustively. None takes all sets.

        Raises:
            LabelError: the store does not hold the dataset.
        """
        chosen = self if dataset is None else self.only((self.info(dataset).name,))
        return SliceStore(chosen.path, chosen.infos, chosen._unlabelled, chosen._maps)

    @cached_property
    def num_bytes(self) -> int:
        """Size of all flat files."""
        return sum(int(flat.size) for flat in self._maps.values())

    def info(self, dataset: str) -> DatasetInfo:
        """Return what a dataset says about itself.

        Raises:
            LabelError: the store does not hold the dataset.
        """
        if dataset not in self.infos:
            raise LabelError(f"no dataset {dataset!r} in the store; it has {', '.join(self.infos)}")
        return self.infos[dataset]


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return the manifest of a store folder, None where there is none."""
    manifest = path / MANIFEST
    return read_json(manifest, STORE_FORMAT, VERSION) if manifest.exists() else None


def info_to_json(info: DatasetInfo) -> dict[str, Any]:
    """Return a dataset's description as plain data."""
    payload = asdict(info)
    payload["classes"] = {str(label_id): name for label_id, name in info.classes.items()}
    return payload


def info_from_json(payload: dict[str, Any]) -> DatasetInfo:
    """Build a dataset's description from plain data."""
    classes = {int(label_id): name for label_id, name in payload["classes"].items()}
    return DatasetInfo(**{**payload, "classes": classes})


def _read_rows(path: Path, num_bytes: int) -> Sequence[SliceRow]:
    if not path.exists():
        raise StoreError(f"{path} is missing from the store; prepare the store again")
    payload = read_json(path, PART_FORMAT, VERSION)
    rows: Sequence[SliceRow]
    try:
        if payload["version"] == 1:
            rows = tuple(SliceRow.from_json(row) for row in payload["rows"])
            expected = max((row.offset + row.num_bytes for row in rows), default=0)
        else:
            rows = SliceIndex.from_json(payload, num_bytes)
            expected = rows.num_bytes
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatVersionError(f"{path} is damaged ({error}); prepare the store again") from error
    if num_bytes != expected:
        raise StoreError(
            f"{path.with_suffix('.bin')} has {num_bytes} bytes, its index needs {expected}; "
            "prepare the store again"
        )
    return rows


def _map_bytes(path: Path) -> UInt8[np.ndarray, " bytes"]:
    if not path.exists():
        raise StoreError(f"{path} is missing from the store; prepare the store again")
    if not path.stat().st_size:
        return np.zeros(0, np.uint8)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.uint8)
