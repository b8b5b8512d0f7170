"""A labelled dataset, whatever its layout: cases with their files, classes, and what is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from medprism.core.errors import ImageReadError, LabelError
from medprism.core.image import Image
from medprism.data.datasets.description import Description, WrittenSplit, modality_code
from medprism.io.mask_file import Colour, MaskFile, is_colour
from medprism.io.reader import read_image, read_mask

# What other programs' files have no place for stands under this key; they ignore it.
ASIDE: Final = "medprism"
MaskSource = Path | Callable[[Image], MaskFile]


@dataclass(frozen=True)
class ChannelFile:
    """One channel of an image: a file, and which volume of it where it holds several."""

    path: Path
    part: str | None = None

    def read(self) -> Image:
        """Read the channel.

        Raises:
            ImageReadError: the file cannot be read.
        """
        return read_image(self.path, self.part)


@dataclass(frozen=True)
class Item:
    """One case: channels of one image on one grid, and its mask where there is one.

    With `resample` a mask file on another grid is brought onto that of the image.
    """

    case_id: str
    channels: tuple[ChannelFile, ...]
    mask: MaskSource | None
    patient: str | None = None
    split: str | None = None
    resample: bool = False

    def read_mask(self, like: Image) -> MaskFile | None:
        """Read the label numbers on the grid of the image.

        Raises:
            ImageReadError: the mask cannot be read.
            GeometryError: it lies on another grid, and is not to be resampled.
        """
        if self.mask is None or not isinstance(self.mask, Path):
            return None if self.mask is None else self.mask(like)
        return read_mask(self.mask, like=like, resample=self.resample)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files the case consists of; a mask out of a common document is not among them."""
        masks = (self.mask,) if isinstance(self.mask, Path) else ()
        return (*dict.fromkeys(channel.path for channel in self.channels), *masks)


@dataclass(frozen=True)
class Collection:
    """All cases of a dataset, sorted, with what its files say about it.

    `classes` and `colours` go by label number. `documents` are files that describe several cases
    at once: if one changes, everything may have. `ignored` says what reading left out.
    """

    layout: str
    items: tuple[Item, ...]
    classes: Mapping[int, str]
    colours: Mapping[int, Colour] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    description: Description = field(default_factory=Description)
    documents: tuple[Path, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def labelled(self) -> tuple[Item, ...]:
        """The cases that have a mask."""
        return tuple(item for item in self.items if item.mask is not None)

    def aside(self) -> dict[str, Any]:
        """Return what other layouts have no place for, as plain data for the `medprism` key."""
        described = self.description.model_dump(exclude_none=True, exclude_defaults=True)
        for known in ("classes", "patients", "split"):
            described.pop(known, None)
        patients = {item.case_id: item.patient for item in self.items if item.patient is not None}
        colours = {str(number): list(colour) for number, colour in self.colours.items()}
        found = {
            "description": described,
            "patients": patients,
            "split": written_split(self.items),
            "colours": colours,
        }
        return {key: value for key, value in found.items() if value}


class Aside(BaseModel):
    """What `Collection.aside` wrote, checked where it enters."""

    model_config = ConfigDict(frozen=True)

    description: Description = Description()
    patients: dict[str, str | None] = {}
    split: WrittenSplit = {}
    colours: dict[int, Colour] = {}


def read_document(path: Path) -> dict[str, Any]:
    """Return a JSON document.

    Raises:
        LabelError: damaged, or not an object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabelError(f"{path} cannot be read as JSON ({error}); mend it") from error
    if not isinstance(document, dict):
        raise LabelError(f"{path} is a JSON {type(document).__name__}, not an object; mend it")
    return document


def describe(
    document: Mapping[str, Any], channel_names: tuple[str, ...], **keys: str
) -> Description:
    """Return what a document of another program says about a set.

    `keys` maps fields of the description to keys of the document; what is no text says nothing.
    The only channel gives the modality where its name is one.

    >>> describe({"licence": "CC0", "reference": 7}, ("CT",), licence="licence").modality
    'CT'
    """
    said = {field: document.get(key) for field, key in keys.items()}
    known = {field: text for field, text in said.items() if isinstance(text, str) and text.strip()}
    only = channel_names[0] if len(channel_names) == 1 else ""
    if modality_code(only) is not None:
        known["modality"] = only
    return Description.model_validate(known)


def with_aside(collection: Collection, document: Mapping[str, Any], path: Path) -> Collection:
    """Return a collection with what stands under the `medprism` key of a document, if anything.

    Raises:
        LabelError: the key is damaged.
    """
    if ASIDE not in document:
        return collection
    try:
        aside = Aside.model_validate(document[ASIDE])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (ASIDE, *first["loc"]))
        raise LabelError(f"{path}: {where!r} is not usable ({first['msg']}); mend it") from error
    if not all(map(is_colour, aside.colours.values())):
        raise LabelError(f"{path}: a colour under {ASIDE!r} is not three numbers 0 to 255; mend it")
    sides = {case: side for side, cases in aside.split.items() for case in cases}
    items = tuple(
        replace(
            item,
            patient=aside.patients.get(item.case_id, item.patient),
            split=sides.get(item.case_id, item.split),
        )
        for item in collection.items
    )
    colours = {**collection.colours, **aside.colours}
    return replace(collection, items=items, colours=colours, description=aside.description)


def written_split(items: tuple[Item, ...]) -> dict[str, list[str]]:
    """Return split -> cases, of the cases that have one."""
    sides: dict[str, list[str]] = {}
    for item in items:
        if item.split is not None:
            sides.setdefault(item.split, []).append(item.case_id)
    return sides


def inside(folder: Path, name: str, where: Path) -> Path:
    """Return a file that a document names, refusing one outside of its folder.

    Raises:
        ImageReadError: the name leads out of the folder.
    """
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise ImageReadError(f"{where} names {name!r}, which lies outside of {folder}; mend it")
    return path


def must_exist(path: Path, where: Path | str) -> Path:
    """Return the path of a file that is there.

    Raises:
        ImageReadError: it is not there.
    """
    if not path.is_file():
        raise ImageReadError(f"{where} names {path}, which is not there; copy it or mend the name")
    return path
