"""ACDC: short-axis cine MRI of the heart, a file a labelled frame."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}

ACDC: Final = PublishedSet(
    name="acdc",
    title="ACDC 2017",
    home_page="https://www.creatis.insa-lyon.fr/Challenge/acdc/",
    licence="CC BY-NC-SA 4.0, after registration",
    redistributable="unclear (NC-SA: share-alike, non-commercial)",
    licence_source="https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html",
    citation="Bernard et al., IEEE Transactions on Medical Imaging 37(11), 2018",
    modality="MR",
    layout="training and testing with patientNNN/patientNNN_frameNN.nii.gz and ..._gt.nii.gz",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/ACDC.md",
    patterns=(
        FilePattern(
            image=r"training/(?P<patient>patient\d{3})/(?P<case>patient\d{3}_frame\d{2})\.nii\.gz",
            masks=("training/{patient}/{case}_gt.nii.gz",),
            patient="{patient}",
            part="train",
            also=r".*_4d\.nii\.gz",
        ),
        FilePattern(
            image=r"testing/(?P<patient>patient\d{3})/(?P<case>patient\d{3}_frame\d{2})\.nii\.gz",
            masks=("testing/{patient}/{case}_gt.nii.gz",),
            patient="{patient}",
            part="test",
            also=r".*_4d\.nii\.gz",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={name: (number,) for number, name in _LABELS.items()},
    intensity="percentile",
    uses=(
        Use(
            paper="K-Prism",
            role="external",
            classes=3,
            split={"train": "val", "test": "test"},
            rule="official training cases to validate, official test cases to test",
            cases=Counts(val=200, test=100),
            slices=Counts(val=1841, test=1001),
        ),
        Use(
            paper="Iris",
            role="external",
            classes=3,
            split={"train": "test", "test": "test"},
            rule="held out; which 100 of the cases is not stated",
        ),
    ),
    expected=tuple(f"patient{number:03d}" for number in range(1, 151)),
)
