"""Medical Segmentation Decathlon: dataset.json with lists of files, channels in one 4-D NIfTI.

http://medicaldecathlon.com
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medprism.core.errors import LabelError
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


def recognises(folder: Path) -> bool:
    """Say whether dataset.json lists training files and modalities."""
    document = folder / "dataset.json"
    if not document.is_file():
        return False
    return {"training", "modality", "labels"} <= set(read_document(document))


def read(folder: Path) -> Collection:
    """Read the training cases, and the test images, which have no masks.

    Raises:
        ImageReadError: a file that is listed is missing, or lies outside of the folder.
        LabelError: dataset.json is damaged.
    """
    described = folder / "dataset.json"
    document = read_document(described)
    modality, labels = (_table(document.get(key), key, described) for key in ("modality", "labels"))
    count = len(modality)
    items = []
    for entry in _list(document.get("training"), "training", described):
        if not isinstance(entry, dict) or not {"image", "label"} <= set(entry):
            raise LabelError(f"{described}: a training entry must have an image and a label")
        channels = _channels(folder, str(entry["image"]), count, described)
        mask = must_exist(inside(folder, str(entry["label"]), described), described)
        items.append(Item(_stem(str(entry["image"])), channels, mask))
    for entry in _list(document.get("test", []), "test", described):
        name = str(entry["image"] if isinstance(entry, dict) and "image" in entry else entry)
        items.append(Item(_stem(name), _channels(folder, name, count, described), None))
    if len({item.case_id for item in items}) != len(items) or not items:
        raise LabelError(f"{described} lists no case, or one of them twice; mend it")
    names = tuple(name for _, name in sorted(modality.items()))
    found = Collection(
        layout="msd",
        items=tuple(sorted(items, key=lambda item: item.case_id)),
        classes={number: name for number, name in sorted(labels.items()) if number},
        channel_names=names,
        description=describe(
            document,
            names,
            name="name",
            licence="licence",
            citation="reference",
            notes="description",
        ),
        documents=(described,),
    )
    return with_aside(found, document, described)


def plan(collection: Collection) -> Plan:
    """Lay out one NIfTI a case, its channels on the fourth axis."""
    items = tuple(_item(item, collection.classes) for item in collection.items)
    suffixes = {suffix_of(c.path) for item in collection.items for c in item.channels}
    lost = [
        f"{suffix} files: their pixels are stored as NIfTI"
        for suffix in sorted(suffixes - {".nii.gz", ".nii"})
    ]
    aside = collection.aside()
    return Plan(
        items,
        lambda folder: {"dataset.json": _document(collection, folder)},
        collection.classes,
        tuple(lost),
        tuple(aside),
    )


def _channels(folder: Path, name: str, count: int, where: Path) -> tuple[ChannelFile, ...]:
    path = inside(folder, name, where)
    if path.is_file():
        if count == 1:
            return (ChannelFile(path),)
        return tuple(ChannelFile(path, str(part)) for part in range(count))
    # nnU-Net v1 wrote the same document, but a file a channel.
    suffix = suffix_of(name)
    parts = [path.with_name(f"{_stem(name)}_{channel:04d}{suffix}") for channel in range(count)]
    if not all(part.is_file() for part in parts):
        must_exist(path, where)
    return tuple(map(ChannelFile, parts))


def _stem(name: str) -> str:
    return Path(name).name.removesuffix(suffix_of(name))


def _table(value: object, key: str, path: Path) -> dict[int, str]:
    if not isinstance(value, dict) or not all(str(number).isdecimal() for number in value):
        raise LabelError(f"{path}: {key} must be a table of numbers and names; mend it")
    return {int(number): str(name) for number, name in value.items()}


def _list(value: object, key: str, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise LabelError(f"{path}: {key} must be a list; mend it")
    return value


def _item(item: Item, classes: Mapping[int, str]) -> ItemPlan:
    side = "Ts" if item.mask is None else "Tr"
    every = tuple(range(len(item.channels)))
    image = ImageTarget(f"images{side}/{item.case_id}.nii.gz", every, splits_colours=True)
    mask = None if item.mask is None else f"labelsTr/{item.case_id}.nii.gz"
    return ItemPlan(item, (image,), mask, {number: number for number in classes})


def _document(collection: Collection, folder: Path) -> bytes:
    description = collection.description
    training = [
        {"image": f"./imagesTr/{i.case_id}.nii.gz", "label": f"./labelsTr/{i.case_id}.nii.gz"}
        for i in collection.labelled
    ]
    test = [f"./imagesTs/{i.case_id}.nii.gz" for i in collection.items if i.mask is None]
    payload: dict[str, Any] = {
        "name": description.name or description.slug or folder.name,
        "description": description.notes or "",
        "reference": description.citation or "",
        "licence": description.licence or "",
        "release": "",
        "tensorImageSize": "4D" if len(_channel_names(collection)) > 1 else "3D",
        "modality": {str(index): name for index, name in enumerate(_channel_names(collection))},
        "labels": {"0": "background", **{str(n): s for n, s in collection.classes.items()}},
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    aside = collection.aside()
    if aside:
        payload[ASIDE] = aside
    return json.dumps(payload, indent=1).encode()


def _channel_names(collection: Collection) -> tuple[str, ...]:
    count = max((len(item.channels) for item in collection.items), default=1)
    # The images of a set are alike.
    if collection.items and is_coloured(collection.items[0].channels):
        return ("red", "green", "blue")
    if len(collection.channel_names) == count:
        return collection.channel_names
    if count == 1:
        return (collection.description.modality or "image",)
    return tuple(f"channel {index}" for index in range(count))
