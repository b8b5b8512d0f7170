"""CHAOS: four abdominal organs in MRI of three sequences; DICOM slices with a PNG mask each."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import SliceStackMask
from medprism.data.datasets.published import PublishedSet, Use

_LABELS: Final = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}

CHAOS_MR: Final = PublishedSet(
    name="chaos_mr",
    title="CHAOS 2019 (MRI)",
    home_page="https://chaos.grand-challenge.org",
    licence="CC BY-NC-SA 4.0",
    redistributable="yes (non-commercial, share-alike)",
    licence_source="https://doi.org/10.5281/zenodo.3362844",
    citation="Kavur et al., Medical Image Analysis 69, 2021; doi:10.5281/zenodo.3362844",
    modality="MR",
    layout="Train_Sets/MR/N/T1DUAL and T2SPIR: DICOM_anon (InPhase, OutPhase) and Ground",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/chaos.py",
    patterns=(
        FilePattern(
            image=r"MR/(?P<patient>\d+)/T1DUAL/DICOM_anon/(?P<phase>InPhase|OutPhase)",
            masks=("MR/{patient}/T1DUAL/Ground",),
            case="{patient}_T1DUAL_{phase}",
            patient="{patient}",
            is_folder=True,
        ),
        FilePattern(
            image=r"MR/(?P<patient>\d+)/T2SPIR/DICOM_anon",
            masks=("MR/{patient}/T2SPIR/Ground",),
            case="{patient}_T2SPIR",
            patient="{patient}",
            is_folder=True,
        ),
    ),
    mask=SliceStackMask({1: (55, 70), 2: (110, 135), 3: (175, 200), 4: (240, 255)}),
    labels=_LABELS,
    concepts={**{name: (number,) for number, name in _LABELS.items()}, "kidney": (2, 3)},
    intensity="percentile",
    uses=(
        Use(
            paper="Iris",
            role="train",
            classes=4,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20; 20 patients in 3 sequences",
            total=60,
        ),
    ),
    notes="grey ranges as the challenge defines them: 63 liver, 126 and 189 kidneys, 252 spleen",
)
