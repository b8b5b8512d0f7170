"""Breast Ultrasound Dataset B: breast lesions in ultrasound."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

BUS_B: Final = PublishedSet(
    name="bus_b",
    title="Breast Ultrasound Dataset B",
    home_page="http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php",
    licence="research only, on application to the owners",
    redistributable="unclear",
    licence_source="http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php",
    citation="Yap et al., IEEE Journal of Biomedical and Health Informatics 22(4), 2018",
    modality="US",
    layout="original/NNNNNN.png and GT/NNNNNN.png",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/Breast_Ultrasound_DatasetB.md",
    patterns=(
        FilePattern(
            image=r"original/(?P<case>\d{6})\.png",
            masks=("GT/{case}.png",),
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
            role="external",
            classes=1,
            split={"train": "test"},
            rule="all pictures as an external test set",
            cases=Counts(test=163),
        ),
    ),
)
