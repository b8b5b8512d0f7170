"""M&Ms-2: long-axis cine MRI of the heart, planes that no training set of the paper shows."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {1: "left ventricle", 2: "myocardium", 3: "right ventricle"}

MNMS2: Final = PublishedSet(
    name="mnms2",
    title="M&Ms-2 (long axis)",
    home_page="https://www.ub.edu/mnms-2/",
    licence="on registration; no licence found",
    redistributable="unclear",
    licence_source="https://www.ub.edu/mnms-2/",
    citation="Martin-Isla et al., IEEE Journal of Biomedical and Health Informatics 27(7), 2023",
    modality="MR",
    layout="a folder a patient (001 to 360) with NNN_LA_ED.nii.gz, NNN_LA_ES.nii.gz and ..._gt",
    layout_source="https://github.com/mathpluscode/CineMA/blob/main/cinema/data/mnms2/README.md",
    patterns=(
        FilePattern(
            image=r"(?P<patient>0\d{2}|1\d{2}|200)/(?P<case>(?P=patient)_LA_E[DS])\.nii(?P<packed>\.gz)?",
            masks=("{patient}/{case}_gt.nii{packed}",),
            patient="{patient}",
            part="val",
            also=r".*_((LA|SA)_CINE|SA_E[DS](_gt)?)\.nii(\.gz)?",
        ),
        FilePattern(
            image=r"(?P<patient>20[1-9]|2[1-9]\d|3\d{2})/(?P<case>(?P=patient)_LA_E[DS])\.nii(?P<packed>\.gz)?",
            masks=("{patient}/{case}_gt.nii{packed}",),
            patient="{patient}",
            part="test",
            also=r".*_((LA|SA)_CINE|SA_E[DS](_gt)?)\.nii(\.gz)?",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={
        "left ventricle, long axis": (1,),
        "myocardium, long axis": (2,),
        "right ventricle, long axis": (3,),
    },
    intensity="percentile",
    uses=(
        Use(
            paper="K-Prism",
            role="unseen",
            classes=3,
            split={"val": "val", "test": "test"},
            rule="patients 1 to 200 (official training, validation) validate, 201 to 360 test",
            cases=Counts(val=400, test=320),
            slices=Counts(val=400, test=320),
        ),
    ),
    expected=tuple(f"{number:03d}" for number in range(1, 361)),
    notes="the source states that training, validation and test patients follow one another",
)
