"""Plain folders: `images/` and `masks/` with the same names, and dataset.json.

The layout that training reads (`data/datasets/folder.py`); `volumes/` is read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medprism.data.datasets.description import read_description
from medprism.data.datasets.folder import PICTURES, VOLUMES, open_folder, open_volumes
from medprism.data.layouts.collection import (
    ASIDE,
    ChannelFile,
    Collection,
    Item,
    read_document,
    with_aside,
    written_split,
)
from medprism.data.layouts.image_file import suffix_of
from medprism.data.layouts.plan import ImageTarget, ItemPlan, Plan


def recognises(folder: Path) -> bool:
    """Say whether a folder has `images/` with `masks/`, or `volumes/`."""
    has_pair = (folder / "images").is_dir() and (folder / "masks").is_dir()
    return has_pair or (folder / "volumes").is_dir()


def read(folder: Path) -> Collection:
    """Read a plain folder; a split is only taken where dataset.json writes one.

    Raises:
        ImageReadError: an image without mask or the other way round, or no image.
        LabelError: dataset.json is damaged or contradicts the files.
    """
    described = folder / "dataset.json"
    description = read_description(described)
    opener = open_volumes if (folder / "volumes").is_dir() else open_folder
    with TemporaryDirectory() as drawn:
        dataset = opener(folder, Path(drawn))
    has_split = description.split is not None
    items = tuple(
        Item(
            case_id=stem,
            channels=(ChannelFile(image),),
            mask=dataset.masks[stem],
            patient=dataset.patients[stem],
            split=dataset.split[stem] if has_split else None,
        )
        for stem, image in dataset.images.items()
    )
    found = Collection(
        layout="plain",
        items=items,
        classes=dict(description.classes),
        description=description,
        documents=(described,) if described.exists() else (),
    )
    if not described.exists():
        return found
    aside = read_document(described).get(ASIDE)
    if not isinstance(aside, dict):
        return found
    # Patients, split and description stand in the file itself.
    colours = {ASIDE: {"colours": aside.get("colours", {})}}
    named = aside.get("channel_names")
    names = named if isinstance(named, list) and len(named) == 1 else []
    return replace(
        found,
        colours=with_aside(found, colours, described).colours,
        channel_names=tuple(map(str, names)),
    )


def plan(collection: Collection) -> Plan:
    """Lay out pictures with PNG masks, volumes with NIfTI masks; images keep their format."""
    items = tuple(_item(item, collection.classes) for item in collection.labelled)
    return Plan(
        items,
        lambda folder: {"dataset.json": _document(collection)},
        collection.classes,
        lost=tuple(_losses(collection)),
        aside=("colours",) if collection.colours else (),
    )


def _item(item: Item, classes: Mapping[int, str]) -> ItemPlan:
    first = item.channels[0]
    suffix = suffix_of(first.path)
    if suffix not in (*PICTURES, *VOLUMES) or first.part is not None:
        suffix = ".nii.gz"
    mask = ".png" if suffix in PICTURES else ".nii.gz"
    if isinstance(item.mask, Path) and suffix not in PICTURES:
        own = suffix_of(item.mask)
        mask = own if own in VOLUMES else mask
    return ItemPlan(
        item,
        (ImageTarget(f"images/{item.case_id}{suffix}", (0,)),),
        f"masks/{item.case_id}{mask}",
        {number: number for number in classes},
    )


def _losses(collection: Collection) -> list[str]:
    lost = []
    channels = sum(len(item.channels) > 1 for item in collection.labelled)
    if channels:
        lost.append(f"channels after the first of {channels} cases; a plain folder has one image")
    bare = len(collection.items) - len(collection.labelled)
    if bare:
        lost.append(f"{bare} images without masks; a plain folder pairs them")
    return lost


def _document(collection: Collection) -> bytes:
    payload: dict[str, Any] = collection.description.model_dump(
        exclude_none=True, exclude_defaults=True
    )
    payload["classes"] = {str(number): name for number, name in collection.classes.items()}
    labelled = collection.labelled
    payload["patients"] = {i.case_id: i.patient for i in labelled if i.patient is not None}
    split = written_split(labelled)
    if sum(map(len, split.values())) == len(labelled):
        payload["split"] = split
    else:
        payload.pop("split", None)
    aside: dict[str, Any] = {}
    if collection.colours:
        aside["colours"] = {str(n): list(colour) for n, colour in collection.colours.items()}
    if len(collection.channel_names) == 1:
        aside["channel_names"] = list(collection.channel_names)
    if aside:
        payload[ASIDE] = aside
    return json.dumps(payload, indent=1).encode()
