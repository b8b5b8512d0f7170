"""BTD: brain tumours in T1-weighted MRI, the pictures of Cheng et al. as repacked on Kaggle."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

BTD: Final = PublishedSet(
    name="btd",
    title="Brain Tumour Dataset (BTD)",
    home_page="https://www.kaggle.com/datasets/nikhilroxtomar/brain-tumor-segmentation",
    licence="CC BY 4.0 for the original (figshare 1512427)",
    redistributable="yes (CC BY 4.0)",
    licence_source="https://figshare.com/articles/dataset/brain_tumor_dataset/1512427",
    citation="Cheng et al., PLoS ONE 10(10), 2015",
    modality="MR",
    layout="images/N.png and masks/N.png",
    layout_source="https://github.com/amnamine/BrainTumorSegmentation/blob/main/README.md",
    patterns=(
        FilePattern(
            image=r"images/(?P<case>\d+)\.png",
            masks=("masks/{case}.png",),
        ),
    ),
    mask=BinaryMask(),
    labels={1: "brain tumour"},
    concepts={"brain tumour": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": (2298, 766, 0)},
            rule="2298 and 766; the choice is not published",
            cases=Counts(train=2298, val=766),
        ),
    ),
    expected=tuple(str(number) for number in range(1, 3065)),
    notes="the pictures name no patient; no licence of the copy at Kaggle is established here",
)
