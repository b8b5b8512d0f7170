"""LiTS: liver and its tumours in CT."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {1: "liver", 2: "liver tumour"}

LITS: Final = PublishedSet(
    name="lits",
    title="LiTS 2017",
    home_page="https://competitions.codalab.org/competitions/17094",
    licence="catalogues name CC BY-NC-ND 4.0 or CC BY-NC-SA 4.0",
    redistributable="unclear (non-commercial; no derivatives or share-alike)",
    licence_source="https://github.com/linhandev/dataset",
    citation="Bilic et al., Medical Image Analysis 84, 2023",
    modality="CT",
    layout="volume-N.nii and segmentation-N.nii in the folders of the two training batches",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/LiTS.md",
    patterns=(
        FilePattern(
            image=r"volume-(?P<case>\d+)\.nii(?P<packed>\.gz)?",
            masks=("segmentation-{case}.nii{packed}",),
            case="volume-{case}",
            patient="volume-{case}",
        ),
    ),
    mask=NumberMask({1: 1, 2: 2}),
    labels=_LABELS,
    # Only the tumours are used, and slices without one are dropped.
    concepts={"liver mass": (2,)},
    intensity="ct-tumour",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (104, 0, 27)},
            rule="80 : 20 of the 131 public training cases",
            cases=Counts(train=104, test=27),
            slices=Counts(train=5687, test=1625),
        ),
        Use(
            paper="Iris",
            role="train",
            classes=2,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20",
            total=131,
        ),
    ),
    expected=tuple(f"volume-{number}" for number in range(131)),
    notes="the licence is CC BY-NC-ND 4.0 in the source, CC BY-NC-SA 4.0 in the table of "
    "huggingface.co/datasets/mrmrx/CADS-dataset; the Decathlon has the data under CC BY-SA 4.0",
)
