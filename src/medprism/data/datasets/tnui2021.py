"""TNUI-2021: thyroid nodules in ultrasound."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

TNUI2021: Final = PublishedSet(
    name="tnui2021",
    title="TNUI-2021",
    home_page="https://github.com/zxg3017/TNUI-2021-",
    licence="on GitHub, without a licence file; no licence found",
    redistributable="unclear",
    licence_source="https://github.com/zxg3017/TNUI-2021-",
    citation="Nie et al., TNUI-2021, 2022",
    modality="US",
    layout="thyroid_data/train, val and test with images and masks of the same names (.png)",
    layout_source="https://github.com/zxg3017/TNUI-2021-/tree/HEAD/thyroid_data",
    patterns=(
        FilePattern(
            image=r"thyroid_data/train/images/(?P<case>[^/]+)\.png",
            masks=("thyroid_data/train/masks/{case}.png",),
            case="train_{case}",
            part="train",
        ),
        FilePattern(
            image=r"thyroid_data/val/images/(?P<case>[^/]+)\.png",
            masks=("thyroid_data/val/masks/{case}.png",),
            case="val_{case}",
            part="val",
        ),
        FilePattern(
            image=r"thyroid_data/test/images/(?P<case>[^/]+)\.png",
            masks=("thyroid_data/test/masks/{case}.png",),
            case="test_{case}",
            part="test",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "thyroid nodule"},
    concepts={"thyroid nodule": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": "train", "val": "val", "test": "test"},
            rule="official training and validation parts; the 139 of the test part are not counted",
            cases=Counts(train=966, val=276),
        ),
    ),
    notes="the repository that publishes it shows the layout; it has no licence file",
)
