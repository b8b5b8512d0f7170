"""DLBS: tissues of the brain in T1-weighted MRI.

The OpenNeuro release holds images only. The three tissue maps that Iris learned from are not part
of it and their source is not stated; they are expected as a BIDS derivative with its common labels.
"""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import PublishedSet, Use

_LABELS: Final = {1: "grey matter", 2: "white matter", 3: "cerebrospinal fluid"}

DLBS: Final = PublishedSet(
    name="dlbs",
    title="Dallas Lifespan Brain Study",
    home_page="https://openneuro.org/datasets/ds004856",
    licence="CC0",
    redistributable="yes (CC0)",
    licence_source="https://openneuro.org/datasets/ds004856",
    citation="Park et al., Scientific Data 12, 2025",
    modality="MR",
    layout="BIDS: sub-*/ses-*/anat/*_T1w.nii.gz, derivatives/segmentation/.../*_dseg.nii.gz",
    layout_source="https://bids-specification.readthedocs.io/en/stable/derivatives/imaging.html",
    patterns=(
        FilePattern(
            image=r"(?P<patient>sub-[A-Za-z0-9]+)/(?P<session>ses-[A-Za-z0-9]+)/anat/(?P<case>[^/]+)_T1w\.nii\.gz",
            masks=("derivatives/segmentation/{patient}/{session}/anat/{case}*_dseg.nii.gz",),
            patient="{patient}",
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
            classes=3,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20",
            total=213,
        ),
    ),
    notes="the masks are not part of the release; label ids as in BIDS",
)
