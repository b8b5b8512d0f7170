"""All layouts, in one dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError
from medprism.data.layouts import bids, coco, decathlon, nnunet, plain
from medprism.data.layouts.plan import Layout

LAYOUTS: Final[Mapping[str, Layout]] = {
    "nnunet": Layout(
        "nnU-Net v2 raw",
        "dataset.json with channel_names, beside imagesTr",
        nnunet.recognises,
        nnunet.read,
        nnunet.plan,
    ),
    "msd": Layout(
        "Medical Segmentation Decathlon",
        "dataset.json with training, modality and labels",
        decathlon.recognises,
        decathlon.read,
        decathlon.plan,
    ),
    "bids": Layout(
        "BIDS derivatives",
        "dataset_description.json, and *_dseg.nii.gz below it",
        bids.recognises,
        bids.read,
        bids.plan,
    ),
    "coco": Layout(
        "COCO",
        "a JSON file with images and annotations, at the top or in annotations",
        coco.recognises,
        coco.read,
        coco.plan,
    ),
    "plain": Layout(
        "plain folders",
        "the folders images and masks, or volumes",
        plain.recognises,
        plain.read,
        plain.plan,
    ),
}
"""Name -> layout; the first that recognises a folder reads it."""


def recognise_layout(folder: Path) -> str:
    """Return the name of the layout a folder has.

    Raises:
        ImageReadError: none fits; the message lists what was looked for.
        LabelError: a document that would decide is damaged.
    """
    if not folder.is_dir():
        raise ImageReadError(f"{folder} is not a folder; pass the folder of a dataset")
    for name, layout in LAYOUTS.items():
        if layout.recognises(folder):
            return name
    looked = "; ".join(f"{one.title}: {one.looks_for}" for one in LAYOUTS.values())
    raise ImageReadError(f"{folder} has no layout that is known; looked for {looked}")
