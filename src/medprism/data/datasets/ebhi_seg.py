"""EBHI-Seg: adenocarcinoma in sections of the colon."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

EBHI_SEG: Final = PublishedSet(
    name="ebhi_seg",
    title="EBHI-Seg (adenocarcinoma)",
    home_page="https://figshare.com/articles/dataset/EBHI-SEG/21540159/1",
    licence="CC BY 4.0 (figshare 21540159)",
    redistributable="yes",
    licence_source="https://figshare.com/articles/dataset/EBHI-SEG/21540159/1",
    citation="Shi et al., Frontiers in Medicine 10, 2023",
    modality="SM",
    layout="Adenocarcinoma/image and Adenocarcinoma/label with the same names (.png)",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/EBHI-Seg.md",
    patterns=(
        FilePattern(
            image=r"Adenocarcinoma/image/(?P<case>(?P<patient>[^/]+?-\d+)(-[^/]*)?)\.png",
            masks=("Adenocarcinoma/label/{case}.png",),
            patient="{patient}",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "colorectal adenocarcinoma"},
    concepts={"colorectal adenocarcinoma": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": (636, 159, 0)},
            rule="80 : 20 of 795; the choice is not published; here by section",
            cases=Counts(train=636, val=159),
        ),
    ),
)
