"""Five polyp sets in the split of PraNet: train on two, test on five."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

POLYP_MIX: Final = PublishedSet(
    name="polyp_mix",
    title="Polyps (PraNet split)",
    home_page="https://github.com/DengPingFan/PraNet",
    licence="Kvasir-SEG for research and education; the CVC and ETIS sets without a formal one",
    redistributable="unclear",
    licence_source="https://datasets.simula.no/kvasir-seg/",
    citation="Fan et al., PraNet, MICCAI 2020",
    modality="ES",
    layout="TrainDataset/images (or image) and masks; TestDataset/SET/images and masks (.png)",
    layout_source="https://github.com/DengPingFan/PraNet/blob/master/MyTest.py",
    patterns=(
        FilePattern(
            image=r"TrainDataset/images?/(?P<case>[^/]+)\.png",
            masks=("TrainDataset/masks/{case}.png",),
            case="train_{case}",
        ),
        FilePattern(
            image=r"TestDataset/(?P<set>[^/]+)/images/(?P<case>[^/]+)\.png",
            masks=("TestDataset/{set}/masks/{case}.png",),
            case="{set}_{case}",
            part="test",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "polyp"},
    concepts={"polyp": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": "train", "test": "val"},
            rule="train 900 Kvasir, 550 ClinicDB; the 798 of the five test sets are reported",
            cases=Counts(train=1450, val=798),
        ),
    ),
    notes="the release calls the training pictures image, copies of it images",
)
