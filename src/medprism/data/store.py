"""Slice store: every slice of every dataset as bytes in flat memory-mapped files.

A store is a folder. `store.json` lists the datasets with their licences and points to one *part*
per dataset: an index (`.json`: one row per slice) and a flat file (`.bin`: for each row its uint8
pixels, then one bit-packed plane per label id that is present). Parts carry a hash of their source
in the name, so a store is replaced by writing new parts first and `store.json` last.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, UInt8

from medprism.core.durable import read_json
from medprism.core.errors import FormatVersionError, LabelError, StoreError
from medprism.data.case import DatasetInfo

STORE_FORMAT: Final = "medprism-slice-store"
PART_FORMAT: Final = "medprism-slice-store-part"
VERSION: Final = 1
MANIFEST: Final = "store.json"


@dataclass(frozen=True)
class SliceRow:
    """One slice: where it comes from, what it shows and where its bytes lie.

    `shape` is (height, width, channels) in the store, `source_shape` the slice's own grid,
    `areas` the stored pixels of each label id that is present; `content` the SHA-256 of the source
    image. `offset` counts bytes in the part's flat file.
    """

    dataset: str
    case_id: str
    patient: str | None
    split: str
    role: str
    modality: str | None
    slice_index: int | None
    relative_position: float | None
    view: str | None
    spacing: tuple[float, float] | None
    plane: int
    shape: tuple[int, int, int]
    source_shape: tuple[int, int]
    areas: Mapping[int, int]
    content: str
    offset: int

    @property
    def image_bytes(self) -> int:
        """Length of the pixels in the flat file."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def plane_bytes(self) -> int:
        """Length of one bit-packed plane in the flat file."""
        return -(-self.shape[0] * self.shape[1] // 8)

    @property
    def num_bytes(self) -> int:
        """Length of the whole record."""
        return self.image_bytes + len(self.areas) * self.plane_bytes

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        payload = asdict(self)
        payload["areas"] = {str(label_id): area for label_id, area in self.areas.items()}
        return payload

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> SliceRow:
        """Build the row from plain data."""
        fields = dict(payload)
        height, width, channels = fields["shape"]
        fields["shape"] = (height, width, channels)
        fields["source_shape"] = (fields["source_shape"][0], fields["source_shape"][1])
        fields["areas"] = {int(label_id): area for label_id, area in fields["areas"].items()}
        if fields["spacing"] is not None:
            fields["spacing"] = (fields["spacing"][0], fields["spacing"][1])
        return cls(**fields)


class SliceStore:
    """A prepared store, read through memory maps; safe to read from several threads."""

    def __init__(
        self,
        path: Path,
        infos: Mapping[str, DatasetInfo],
        rows: tuple[SliceRow, ...],
        maps: Mapping[str, UInt8[np.ndarray, " bytes"]],
    ) -> None:
        self.path = path
        self.infos = infos
        self.rows = rows
        self._maps = maps

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
        rows: list[SliceRow] = []
        maps: dict[str, UInt8[np.ndarray, " bytes"]] = {}
        for name, entry in manifest["datasets"].items():
            infos[name] = info_from_json(entry["info"])
            part_rows = _read_rows(path / f"{entry['part']}.json")
            maps[name] = _map_bytes(path / f"{entry['part']}.bin", part_rows)
            rows.extend(part_rows)
        return cls(path, infos, tuple(rows), maps)

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
        )

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


def _read_rows(path: Path) -> list[SliceRow]:
    if not path.exists():
        raise StoreError(f"{path} is missing from the store; prepare the store again")
    payload = read_json(path, PART_FORMAT, VERSION)
    try:
        return [SliceRow.from_json(row) for row in payload["rows"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatVersionError(f"{path} is damaged ({error}); prepare the store again") from error


def _map_bytes(path: Path, rows: list[SliceRow]) -> UInt8[np.ndarray, " bytes"]:
    expected = max((row.offset + row.num_bytes for row in rows), default=0)
    found = path.stat().st_size if path.exists() else -1
    if found != expected:
        raise StoreError(
            f"{path} has {found} bytes, its index needs {expected}; prepare the store again"
        )
    if not expected:
        return np.zeros(0, np.uint8)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.uint8)
