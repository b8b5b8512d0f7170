"""What a layout would write: files by case, documents about all, and what does not fit in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medprism.data.layouts.collection import Collection, Item


@dataclass(frozen=True)
class ImageTarget:
    """A file to write: these channels of the image, by number; `slices` gives a file a slice.

    With `slices` the path holds `{slice}` for the number. With `splits_colours` red, green and
    blue become volumes of one file, as with any other channels.
    """

    path: str
    channels: tuple[int, ...]
    slices: bool = False
    splits_colours: bool = False


@dataclass(frozen=True)
class ItemPlan:
    """The files of one case, relative to the target folder; `numbers` renames label numbers."""

    item: Item
    images: tuple[ImageTarget, ...]
    mask: str | None
    numbers: Mapping[int, int]


@dataclass(frozen=True)
class Plan:
    """All that a conversion writes.

    `documents` is called after the cases, with the folder, and returns file name -> content.
    `lost` says what the layout cannot hold, `aside` what only medprism will find in it again.
    """

    items: tuple[ItemPlan, ...]
    documents: Callable[[Path], Mapping[str, bytes]]
    classes: Mapping[int, str]
    lost: tuple[str, ...] = ()
    aside: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Layout:
    """One way to lay a dataset out: how it is recognised, read and written."""

    title: str
    looks_for: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Collection]
    plan: Callable[[Collection], Plan]
