"""nnU-Net v2 raw: dataset.json, imagesTr, labelsTr, imagesTs, a file a channel.

https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.layouts.collection import (
    ASIDE,
    ChannelFile,
    Collection,
    Item,
    describe,
    inside,
    must_exist,
    read_document,
    with_aside,
)
from medprism.data.layouts.image_file import is_coloured, suffix_of
from medprism.data.layouts.plan import ImageTarget, ItemPlan, Plan

# Formats whose images nnU-Net reads as they are; JPEG is not among them.
_ENDINGS: Final = (".nii.gz", ".nrrd", ".mha", ".png", ".bmp", ".tif")
_CHANNEL: Final = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def recognises(folder: Path) -> bool:
    """Say whether dataset.json names channels and imagesTr is there."""
    document = folder / "dataset.json"
    if not document.is_file() or not (folder / "imagesTr").is_dir():
        return False
    return "channel_names" in read_document(document)


def read(folder: Path) -> Collection:
    """Read the training cases, and the test images, which have no masks.

    Raises:
        ImageReadError: a channel or a label file is missing.
        LabelError: dataset.json is damaged.
    """
    described = folder / "dataset.json"
    document = read_document(described)
    names = _strings(document.get("channel_names"), "channel_names", described)
    ending = document.get("file_ending")
    if not isinstance(ending, str) or not ending.startswith("."):
        raise LabelError(f"{described}: file_ending {ending!r} must be a suffix such as '.nii.gz'")
    classes, regions = _classes(document.get("labels"), described)
    items = _training(folder, document, ending, len(names), described)
    for case, channels in sorted(_channels(folder / "imagesTs", ending).items()):
        _check(case, channels, len(names), folder / "imagesTs")
        items.append(Item(case, tuple(map(ChannelFile, channels.values())), None))
    found = Collection(
        layout="nnunet",
        items=tuple(items),
        classes=classes,
        channel_names=tuple(names.values()),
        description=describe(
            document, tuple(names.values()), name="name", licence="licence", citation="reference"
        ),
        documents=(described,),
        ignored=tuple(f"the region {name!r}, a union of labels" for name in regions),
    )
    return with_aside(found, document, described)


def plan(collection: Collection) -> Plan:
    """Lay out a file a channel, label numbers from 1 without gaps, as nnU-Net wants them."""
    numbers = {number: new for new, number in enumerate(sorted(collection.classes), start=1)}
    classes = {new: collection.classes[number] for number, new in numbers.items()}
    ending = _common_ending(collection)
    moved = [f"{old} -> {new}" for old, new in numbers.items() if old != new]
    lost = [f"label numbers: {', '.join(moved)}"] if moved else []
    converted = {
        suffix_of(channel.path) for item in collection.items for channel in item.channels
    } & {".jpg", ".jpeg"}
    if converted:
        lost.append("JPEG files: their pixels are stored as PNG")
    aside = collection.aside()
    return Plan(
        tuple(_item(item, ending, numbers) for item in collection.items),
        lambda folder: {"dataset.json": _document(collection, classes, ending, numbers)},
        classes,
        tuple(lost),
        tuple(aside),
    )


def _training(
    folder: Path, document: Mapping[str, Any], ending: str, count: int, described: Path
) -> list[Item]:
    listed = document.get("dataset")
    if isinstance(listed, dict):
        return [_listed(folder, case, entry, described) for case, entry in sorted(listed.items())]
    channels = _channels(folder / "imagesTr", ending)
    labels = {
        path.name.removesuffix(ending): path
        for path in sorted((folder / "labelsTr").glob(f"*{ending}"))
    }
    unpaired = sorted(set(channels) ^ set(labels))
    if unpaired or not labels:
        what = f"{unpaired[0]!r} has no partner" if unpaired else f"there is no case in {ending}"
        raise ImageReadError(f"{folder}: {what}; imagesTr and labelsTr must hold the same cases")
    items = []
    for case, mask in labels.items():
        _check(case, channels[case], count, folder / "imagesTr")
        items.append(Item(case, tuple(map(ChannelFile, channels[case].values())), mask))
    return items


def _listed(folder: Path, case: str, entry: object, described: Path) -> Item:
    """Read one entry of the optional table of cases."""
    images = entry.get("images") if isinstance(entry, dict) else None
    label = entry.get("label") if isinstance(entry, dict) else None
    if not isinstance(images, list) or not isinstance(label, str) or not images:
        raise LabelError(f"{described}: the entry of {case!r} must have images and a label")
    paths = [must_exist(inside(folder, str(image), described), described) for image in images]
    mask = must_exist(inside(folder, label, described), described)
    return Item(case, tuple(map(ChannelFile, paths)), mask)


def _channels(folder: Path, ending: str) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []:
        match = _CHANNEL.fullmatch(path.name.removesuffix(ending))
        if match is None:
            raise ImageReadError(f"{path} has no channel number; nnU-Net expects CASE_0000{ending}")
        found.setdefault(match["case"], {})[int(match["channel"])] = path
    return found


def _check(case: str, channels: Mapping[int, Path], count: int, folder: Path) -> None:
    missing = sorted(set(range(count)) - set(channels))
    # A colour picture is one file, though its channels are named one by one.
    is_picture = suffix_of(next(iter(channels.values()))) in (".png", ".bmp", ".tif")
    if missing and not (is_picture and set(channels) == {0}):
        raise ImageReadError(
            f"{folder}: {case}_{missing[0]:04d} is not there; dataset.json names {count} channels"
        )


def _strings(value: object, key: str, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise LabelError(f"{path}: {key} must be a table of numbers and names; mend it")
    return {str(number): str(name) for number, name in value.items()}


def _classes(value: object, path: Path) -> tuple[dict[int, str], list[str]]:
    """Return number -> name, and the regions; labels that only regions name get a name."""
    if not isinstance(value, dict):
        raise LabelError(f"{path}: labels must be a table of names and numbers; mend it")
    classes: dict[int, str] = {}
    regions: list[str] = []
    in_regions: set[int] = set()
    for name, numbers in value.items():
        listed = numbers if isinstance(numbers, list) else [numbers]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in listed):
            raise LabelError(f"{path}: the label {name!r} has the number {numbers!r}; mend it")
        if isinstance(numbers, list):
            regions.append(name)
            in_regions.update(listed)
        elif numbers:
            classes[numbers] = name
    for number in sorted(in_regions - set(classes) - {0}):
        classes[number] = f"label {number}"
    return dict(sorted(classes.items())), regions


def _common_ending(collection: Collection) -> str:
    suffixes = {suffix_of(c.path) for item in collection.items for c in item.channels}
    has_parts = any(c.part is not None for item in collection.items for c in item.channels)
    if len(suffixes) == 1 and not has_parts and suffixes <= set(_ENDINGS):
        return next(iter(suffixes))
    pictures = {".png", ".jpg", ".jpeg", ".bmp"}
    return ".png" if suffixes <= pictures and not has_parts else ".nii.gz"


def _item(item: Item, ending: str, numbers: Mapping[int, int]) -> ItemPlan:
    side = "Ts" if item.mask is None else "Tr"
    images = tuple(
        ImageTarget(f"images{side}/{item.case_id}_{channel:04d}{ending}", (channel,))
        for channel in range(len(item.channels))
    )
    mask = None if item.mask is None else f"labelsTr/{item.case_id}{ending}"
    return ItemPlan(item, images, mask, numbers)


def _document(
    collection: Collection,
    classes: Mapping[int, str],
    ending: str,
    numbers: Mapping[int, int],
) -> bytes:
    count = max((len(item.channels) for item in collection.items), default=1)
    modality = collection.description.modality
    names = collection.channel_names or ((modality,) if modality and count == 1 else ())
    if collection.items and is_coloured(collection.items[0].channels):
        names = names if len(names) == 3 else ("R", "G", "B")
    elif len(names) != count:
        names = tuple(f"channel {index}" for index in range(count))
    aside = collection.aside()
    if "colours" in aside:
        aside["colours"] = {
            str(numbers[number]): list(colour)
            for number, colour in collection.colours.items()
            if number in numbers
        }
    payload: dict[str, Any] = {
        "channel_names": {str(index): name for index, name in enumerate(names)},
        "labels": {"background": 0, **{name: number for number, name in _unique(classes).items()}},
        "numTraining": len(collection.labelled),
        "file_ending": ending,
    }
    for key in ("name", "licence"):
        said = getattr(collection.description, key)
        if said is not None:
            payload[key] = said
    if collection.description.citation is not None:
        payload["reference"] = collection.description.citation
    if aside:
        payload[ASIDE] = aside
    return json.dumps(payload, indent=1).encode()


def _unique(classes: Mapping[int, str]) -> dict[int, str]:
    """Return names that no two labels share; "background" is taken."""
    used = {"background"}
    found: dict[int, str] = {}
    for number, name in classes.items():
        chosen = name if name not in used else f"{name} ({number})"
        used.add(chosen)
        found[number] = chosen
    return found
