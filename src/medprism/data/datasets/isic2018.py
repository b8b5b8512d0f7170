"""ISIC 2018, task 1: boundaries of skin lesions in dermoscopy."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

ISIC2018: Final = PublishedSet(
    name="isic2018",
    title="ISIC 2018 (task 1)",
    home_page="https://challenge.isic-archive.com/data/#2018",
    licence="CC BY-NC 4.0",
    redistributable="yes (non-commercial)",
    licence_source="https://challenge.isic-archive.com/data/#2018",
    citation="Codella et al., arXiv:1902.03368; Tschandl et al., Scientific Data 5, 2018",
    modality=None,
    layout="ISIC2018_Task1-2_PART_Input/ID, ISIC2018_Task1_PART_GroundTruth/ID_segmentation",
    layout_source="https://challenge.isic-archive.com/data/#2018",
    patterns=tuple(
        FilePattern(
            image=rf"ISIC2018_Task1-2_{folder}_Input/(?P<case>ISIC_\d{{7}})\.jpg",
            masks=(f"ISIC2018_Task1_{folder}_GroundTruth/{{case}}_segmentation.png",),
            part=part,
        )
        for folder, part in (("Training", "train"), ("Validation", "val"), ("Test", "test"))
    ),
    mask=BinaryMask(),
    labels={1: "skin lesion"},
    concepts={"skin lesion": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": "train", "val": "val", "test": "test"},
            rule="official split",
            cases=Counts(train=2594, val=100, test=1000),
        ),
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": (7, 3, 0), "val": (7, 3, 0)},
            rule="1886 and 808 (70 : 30 of training and validation); the choice is not published",
            cases=Counts(train=1886, val=808),
        ),
    ),
)
