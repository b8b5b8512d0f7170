"""Chest X-ray Masks and Labels: lungs in radiographs of Shenzhen."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

CHEST_XRAY_MASKS: Final = PublishedSet(
    name="chest_xray_masks",
    title="Chest X-ray Masks and Labels (Shenzhen)",
    home_page="https://www.kaggle.com/datasets/nikhilpandey360/chest-xray-masks-and-labels",
    licence="CC0 as listed on Kaggle; NLM asks for attribution and citation",
    redistributable="yes",
    licence_source="https://www.kaggle.com/datasets/nikhilpandey360/chest-xray-masks-and-labels",
    citation="Jaeger et al., IEEE Transactions on Medical Imaging 33, 2014",
    modality="DX",
    layout="Lung Segmentation/CXR_png and Lung Segmentation/masks with ID_mask.png",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/chest_xray_masks.py",
    patterns=(
        FilePattern(
            image=r"Lung Segmentation/CXR_png/(?P<case>CHNCXR_(?P<patient>\d+)_[01])\.png",
            masks=("Lung Segmentation/masks/{case}_mask.png",),
            patient="{patient}",
            also=r"Lung Segmentation/masks/MCUCXR_\d+_[01]\.png",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "lung"},
    concepts={"lung": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (450, 0, 116)},
            rule="80 : 20; the counts are those of the 566 Shenzhen pictures with a mask",
            cases=Counts(train=450, test=116),
        ),
    ),
    notes="96 of the 662 Shenzhen pictures have no mask; the 138 of Montgomery are not counted",
)
