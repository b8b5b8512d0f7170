"""PAPILA: the optic disc in fundus photographs of both eyes, as contours in text files.

Two experts outlined every disc; which of them the paper took is not stated, the first is read.
"""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import ContourMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

PAPILA: Final = PublishedSet(
    name="papila",
    title="PAPILA",
    home_page="https://doi.org/10.1038/s41597-022-01388-1",
    licence="GPL 3.0 or later (figshare 14798004)",
    redistributable="yes (GPL 3.0 or later)",
    licence_source="https://doi.org/10.6084/m9.figshare.14798004",
    citation="Kovalyk et al., Scientific Data 9, 2022",
    modality=None,
    layout="FundusImages/RETNNNOD.jpg and ExpertsSegmentations/Contours/RETNNNOD_disc_exp1.txt",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/papila.py",
    patterns=(
        FilePattern(
            image=r"FundusImages/(?P<case>(?P<patient>RET\d{3})O[DS])\.jpg",
            masks=("ExpertsSegmentations/Contours/{case}_disc_exp1.txt",),
            patient="{patient}",
            also=r"ExpertsSegmentations/Contours/RET\d{3}O[DS]_(cup|disc)_exp[12]\.txt",
        ),
    ),
    mask=ContourMask(),
    labels={1: "optic disc"},
    concepts={"optic disc": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (390, 0, 98)},
            rule="80 : 20 of 488 pictures; here both eyes of a patient stay together",
            cases=Counts(train=390, test=98),
        ),
    ),
    notes="GPL as the data record is quoted; some quote CC BY 4.0, the licence of the paper",
)
