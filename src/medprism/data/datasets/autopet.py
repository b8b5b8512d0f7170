"""AutoPET (FDG-PET-CT-Lesions): lesions in whole-body PET; the SUV image is read."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import PublishedSet, Use

_LABELS: Final = {1: "FDG-avid tumour"}

AUTOPET: Final = PublishedSet(
    name="autopet",
    title="AutoPET (FDG-PET-CT-Lesions)",
    home_page="https://autopet.grand-challenge.org",
    licence="at FDAT, quoted as CC BY-NC 4.0 and as CC BY 4.0",
    redistributable="unclear (CC BY-NC or CC BY)",
    licence_source="https://doi.org/10.57754/FDAT.wf9fy-txq84",
    citation="Gatidis et al., Scientific Data 9, 2022",
    modality="PT",
    layout="PETCT_ID/STUDY with SUV, CTres, CT, PET and SEG.nii.gz",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/Auto-PET.md",
    patterns=(
        FilePattern(
            image=r"(?P<patient>PETCT_[0-9a-f]+)/(?P<study>[^/]+)/SUV\.nii\.gz",
            masks=("{patient}/{study}/SEG.nii.gz",),
            case="{patient}_{study}",
            patient="{patient}",
            also=r".*/(CT|CTres|PET)\.nii\.gz",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={name: (number,) for number, name in _LABELS.items()},
    intensity="percentile",
    uses=(
        Use(
            paper="Iris",
            role="train",
            classes=1,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20",
            total=1014,
        ),
    ),
    notes="half of the studies show no lesion; of the DICOM release at TCIA (10.7937/gkr0-xv29) "
    "the defaced images are CC BY 4.0 and the others under controlled access",
)
