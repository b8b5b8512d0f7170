"""BKAI-IGH NeoPolyp: polyps in colonoscopy, painted by kind; both kinds are one concept."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import ColourMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

BKAI_IGH: Final = PublishedSet(
    name="bkai_igh",
    title="BKAI-IGH NeoPolyp",
    home_page="https://www.kaggle.com/competitions/bkai-igh-neopolyp",
    licence="Kaggle competition rules, to be accepted first; no licence found",
    redistributable="unclear",
    licence_source="https://www.kaggle.com/c/bkai-igh-neopolyp/rules",
    citation="Ngoc Lan et al., NeoUNet, 2021",
    modality="ES",
    layout="train/train/ID.jpeg and train_gt/train_gt/ID.jpeg, red neoplastic, green not",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/bkai_igh_neopolyp.py",
    patterns=(
        FilePattern(
            image=r"train/train/(?P<case>[0-9a-f]+)\.jpeg",
            masks=("train_gt/train_gt/{case}.jpeg",),
        ),
    ),
    mask=ColourMask({1: (255, 0, 0), 2: (0, 255, 0)}),
    labels={1: "neoplastic polyp", 2: "non-neoplastic polyp"},
    concepts={"polyp": (1, 2)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=2,
            split={"train": (800, 0, 200)},
            rule="80 : 20 of the official training set",
            cases=Counts(train=800, test=200),
        ),
    ),
    notes="the official test pictures have no public masks",
)
