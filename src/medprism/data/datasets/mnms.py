"""M&Ms: short-axis cine MRI of the heart; 4-D files of which two frames are labelled."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_FILE: Final = r"(?P<case>[A-Z0-9]{6})_sa\.nii\.gz"
_LABELS: Final = {1: "left ventricle", 2: "myocardium", 3: "right ventricle"}

MNMS: Final = PublishedSet(
    name="mnms",
    title="M&Ms 2020",
    home_page="https://www.ub.edu/mnms/",
    licence="345 of the 375 cases open, the others on application; no licence found",
    redistributable="unclear",
    licence_source="https://github.com/mathpluscode/CineMA/blob/main/cinema/data/mnms/README.md",
    citation="Campello et al., IEEE Transactions on Medical Imaging 40(12), 2021",
    modality="MR",
    layout="Training/Labeled, Validation, Testing: a folder a patient with ID_sa and ID_sa_gt",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/M%26Ms.md",
    patterns=tuple(
        FilePattern(
            image=rf"{folder}/(?P<patient>[A-Z0-9]{{6}})/{_FILE}",
            masks=(f"{folder}/{{patient}}/{{case}}_sa_gt.nii.gz",),
            patient="{case}",
            part=part,
            has_frames=True,
        )
        for folder, part in (
            ("Training/Labeled", "train"),
            ("Validation", "val"),
            ("Testing", "test"),
        )
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={name: (number,) for number, name in _LABELS.items()},
    intensity="percentile",
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=3,
            split={"train": "train", "val": "test", "test": "test"},
            rule="official training and test sets (340 volumes are Validation and Testing)",
            cases=Counts(train=300, test=340),
            slices=Counts(train=2475, test=2821),
        ),
        Use(
            paper="Iris",
            role="train",
            classes=3,
            split={"train": (95, 5, 0), "val": "test", "test": "test"},
            rule="official test; 320 cases are patients with two labelled volumes each",
            total=640,
        ),
    ),
)
