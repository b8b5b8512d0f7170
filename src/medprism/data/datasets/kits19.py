"""KiTS19: kidney tumours in CT."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {1: "kidney", 2: "kidney tumour"}

KITS19: Final = PublishedSet(
    name="kits19",
    title="KiTS19",
    home_page="https://kits19.grand-challenge.org",
    licence="CC BY-NC-SA",
    redistributable="yes (non-commercial)",
    licence_source="https://kits19.grand-challenge.org/data/",
    citation="Heller et al., arXiv:1904.00445",
    modality="CT",
    layout="data/case_NNNNN with imaging.nii.gz and segmentation.nii.gz",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/KiTS19.md",
    patterns=(
        FilePattern(
            image=r"(?P<case>case_\d{5})/imaging\.nii\.gz",
            masks=("{case}/segmentation.nii.gz",),
            patient="{case}",
        ),
    ),
    mask=NumberMask({1: 1, 2: 2}),
    labels=_LABELS,
    # Only the tumours are used, and slices without one are dropped.
    concepts={"kidney tumour": (2,)},
    intensity="ct-tumour",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (168, 0, 42)},
            rule="80 : 20 of the 210 public cases",
            cases=Counts(train=168, test=42),
            slices=Counts(train=5269, test=1609),
        ),
        Use(
            paper="Iris",
            role="train",
            classes=2,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20",
            total=210,
        ),
    ),
    expected=tuple(f"case_{number:05d}" for number in range(210)),
)
