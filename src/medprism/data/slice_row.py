"""SliceRow: what the store knows about one slice, and where its bytes lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice: where it comes from, what it shows and where its bytes lie.

    `shape` is (height, width, channels) in the store, `source_shape` the slice's own grid,
    `areas` the stored pixels of each label id that is present; `content` the SHA-256 of the source
    image and the plane taken from it. `offset` counts bytes in the part's flat file.
    `is_unlabelled` marks a slice of a volume on which nothing is labelled; a picture without
    labels is not one of them, since its set has it as an example.
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
    is_unlabelled: bool = False

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

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> SliceRow:
        """Build the row from plain data, as stores of version 1 hold it."""
        fields = dict(payload)
        height, width, channels = fields["shape"]
        fields["shape"] = (height, width, channels)
        fields["source_shape"] = (fields["source_shape"][0], fields["source_shape"][1])
        fields["areas"] = {int(label_id): area for label_id, area in fields["areas"].items()}
        if fields["spacing"] is not None:
            fields["spacing"] = (fields["spacing"][0], fields["spacing"][1])
        return cls(**fields)
