"""BTCV (Beyond the Cranial Vault, abdomen): 13 structures in CT."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

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
    10: "portal and splenic vein",
    11: "pancreas",
    12: "right adrenal gland",
    13: "left adrenal gland",
}

BTCV: Final = PublishedSet(
    name="btcv",
    title="BTCV abdomen",
    home_page="https://www.synapse.org/#!Synapse:syn3193805/wiki/217789",
    licence="on registration at Synapse, the licence to be asked for there",
    redistributable="unclear",
    licence_source="https://github.com/Project-MONAI/model-zoo/blob/dev/models/"
    "pediatric_abdominal_ct_segmentation/docs/data_license.txt",
    citation="Landman et al., MICCAI 2015 Multi-Atlas Labeling workshop",
    modality="CT",
    layout="RawData/Training/img/imgNNNN.nii.gz and RawData/Training/label/labelNNNN.nii.gz",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/btcv.py",
    patterns=(
        FilePattern(
            image=r"Training/img/img(?P<number>\d{4})\.nii\.gz",
            masks=("Training/label/label{number}.nii.gz",),
            case="img{number}",
            patient="img{number}",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={**{name: (number,) for number, name in _LABELS.items()}, "kidney": (2, 3)},
    intensity="ct-organ",
    uses=(
        Use(
            paper="K-Prism",
            role="external",
            classes=13,
            split={"train": "test"},
            rule="all 30 training scans as an external test set",
            cases=Counts(test=30),
            slices=Counts(test=3791),
        ),
        Use(
            paper="Iris",
            role="train",
            classes=13,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20",
            total=30,
        ),
    ),
    expected=tuple(f"img{number:04d}" for number in (*range(1, 11), *range(21, 41))),
    notes="the paper lists a duodenum, which the release does not label; its 10 is a vein; "
    "the table of huggingface.co/datasets/mrmrx/CADS-dataset has CC BY 4.0 for it",
)
