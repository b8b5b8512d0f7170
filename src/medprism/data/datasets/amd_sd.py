"""AMD-SD: signs of wet macular degeneration in OCT; image and mask side by side in a file."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BesideMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {
    1: "ellipsoid zone",
    2: "intraretinal fluid",
    3: "subretinal fluid",
    4: "subretinal hyperreflective material",
    5: "pigment epithelial detachment",
}

AMD_SD: Final = PublishedSet(
    name="amd_sd",
    title="AMD-SD",
    home_page="https://doi.org/10.1038/s41597-024-03844-6",
    licence="CC BY-NC-ND 4.0",
    redistributable="unclear (non-commercial, no derivatives)",
    licence_source="https://www.kaggle.com/datasets/gaoweihao/amd-sd",
    citation="Hu et al., Scientific Data 11, 2024",
    modality="OPT",
    layout="images/PATIENT/PATIENT_N.png, the left half the image, the right half the mask",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/amd_sd.py",
    patterns=(
        FilePattern(
            image=r"images/(?P<patient>\d+)/(?P<case>\d+_\d+)\.png",
            masks=(),
            patient="{patient}",
        ),
    ),
    mask=BesideMask(
        {
            1: (255, 0, 255),
            2: (0, 255, 0),
            3: (255, 0, 0),
            4: (255, 255, 0),
            5: (0, 0, 255),
        }
    ),
    labels=_LABELS,
    concepts={name: (number,) for number, name in _LABELS.items()},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": (2346, 703, 0)},
            rule="2346 and 703, one class; which signs it unites is not stated; by patient",
            cases=Counts(train=2346, val=703),
        ),
    ),
)
