"""BUSI: breast lesions in ultrasound; a picture may have several masks."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

BUSI: Final = PublishedSet(
    name="busi",
    title="BUSI (Dataset of Breast Ultrasound Images)",
    home_page="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    licence="CC0 as listed on Kaggle; the authors ask for citation",
    redistributable="yes",
    licence_source="https://www.kaggle.com/datasets/aryashah2k/breast-ultrasound-images-dataset",
    citation="Al-Dhabyani et al., Data in Brief 28, 2020",
    modality="US",
    layout="benign and malignant with 'KIND (N).png' and 'KIND (N)_mask*.png'; normal is not used",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/BUSI.md",
    patterns=(
        FilePattern(
            image=r"(?P<kind>benign|malignant)/(?P<case>(?P=kind) \(\d+\))\.png",
            masks=("{kind}/{case}_mask*.png",),
        ),
    ),
    mask=BinaryMask(),
    labels={1: "breast lesion"},
    concepts={"breast lesion": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (518, 0, 129)},
            rule="80 : 20 of the 647 benign and malignant pictures",
            cases=Counts(train=518, test=129),
        ),
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": (486, 161, 0)},
            rule="486 and 161; the choice is not published",
            cases=Counts(train=486, val=161),
        ),
    ),
    expected=(
        *(f"benign ({number})" for number in range(1, 438)),
        *(f"malignant ({number})" for number in range(1, 211)),
    ),
    notes="the pictures name no patient, so the drawn split is by picture",
)
