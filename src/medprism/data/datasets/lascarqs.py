"""LAScarQS 2022, task 2: the left atrium in late gadolinium enhanced MRI."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

LASCARQS: Final = PublishedSet(
    name="lascarqs",
    title="LAScarQS 2022 (task 2)",
    home_page="https://zmiclab.github.io/projects/lascarqs22/",
    licence="on registration; no licence found",
    redistributable="unclear",
    licence_source="https://zmiclab.github.io/projects/lascarqs22/data.html",
    citation="Li et al., Medical Image Analysis 76, 2022 (AtrialJSQnet)",
    modality="MR",
    layout="task2/train_data/train_N with enhanced.nii.gz and atriumSegImgMO.nii.gz",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/LAScarQS_2022.md",
    patterns=(
        FilePattern(
            # Task 1 shows some of the same hearts again.
            image=r"task2/train_data/(?P<case>train_\d+)/enhanced\.nii\.gz",
            masks=("task2/train_data/{case}/atriumSegImgMO.nii.gz",),
            patient="{case}",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "left atrium"},
    concepts={"left atrium": (1,)},
    intensity="percentile",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (98, 0, 32)},
            rule="text: 80 : 20 of the training set; Table 6: 98 and 32 of 130, which is taken",
            cases=Counts(train=98, test=32),
            slices=Counts(train=3561, test=1183),
        ),
    ),
    expected=tuple(f"train_{number}" for number in range(1, 131)),
)
