"""AMOS 2022: abdominal organs in CT and MRI, in the layout of the official archive.

Documented in the release's own readme (`layout_source` of both values).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Ratio, Use

_LABELS: Final = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "oesophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "pancreas",
    11: "right adrenal gland",
    12: "left adrenal gland",
    13: "duodenum",
    14: "bladder",
    15: "prostate or uterus",
}
# The 13 that K-Prism counts in both modalities; MRI has no bladder and no prostate or uterus.
_CONCEPTS: Final = {
    **{name: (number,) for number, name in _LABELS.items() if number <= 13},
    "kidney": (2, 3),
}
_SPLIT: Final[Mapping[str, str | Ratio]] = {"train": (95, 5, 0), "val": "test"}
_RULE: Final = "official training set 95 : 5 for train and val; official validation set as test"


def _amos(
    kind: str, modality: str, numbers: str, intensity: str, uses: tuple[Use, ...]
) -> PublishedSet:
    patterns = tuple(
        FilePattern(
            image=rf"images{part}/(?P<case>amos_{numbers})\.nii\.gz",
            masks=(f"labels{part}/{{case}}.nii.gz",),
            patient="{case}",
            part=name,
            also=rf"labels{part}/amos_\d{{4}}\.nii\.gz",
        )
        for part, name in (("Tr", "train"), ("Va", "val"))
    )
    return PublishedSet(
        name=f"amos_{kind}",
        title=f"AMOS 2022 ({modality})",
        home_page="https://amos22.grand-challenge.org",
        licence="CC BY 4.0",
        redistributable="yes (CC BY 4.0)",
        licence_source="https://doi.org/10.5281/zenodo.7262581",
        citation="Ji et al., AMOS, NeurIPS 2022, arXiv:2206.08023",
        modality="CT" if kind == "ct" else "MR",
        layout="imagesTr, labelsTr, imagesVa, labelsVa with amos_NNNN.nii.gz (0500 on is MRI)",
        layout_source="https://huggingface.co/datasets/onkarsus13/AllMedicalCombine/blob/main/"
        "amos/amos22/readme.md",
        patterns=patterns,
        mask=NumberMask({number: number for number in _LABELS}),
        labels=_LABELS,
        concepts=_CONCEPTS,
        intensity=intensity,
        uses=uses,
        notes="licence as stated for the Zenodo record; the paper's page names CC BY-NC",
    )


AMOS_CT: Final = _amos(
    "ct",
    "CT",
    r"0[0-4]\d\d",
    "ct-organ",
    (
        Use(
            paper="K-Prism",
            role="train",
            classes=13,
            split=_SPLIT,
            rule=_RULE,
            cases=Counts(train=190, val=10, test=100),
            slices=Counts(train=33944, val=1689, test=17861),
        ),
        Use(paper="Iris", role="train", classes=15, split=_SPLIT, rule=_RULE, total=300),
    ),
)
AMOS_MRI: Final = _amos(
    "mri",
    "MRI",
    r"0[5-9]\d\d",
    "percentile",
    (
        Use(
            paper="K-Prism",
            role="train",
            classes=13,
            split=_SPLIT,
            rule=_RULE,
            cases=Counts(train=38, val=2, test=20),
            slices=Counts(train=5160, val=263, test=2614),
        ),
        Use(paper="Iris", role="train", classes=13, split=_SPLIT, rule=_RULE, total=60),
    ),
)
