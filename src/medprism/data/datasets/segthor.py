"""SegTHOR: thoracic organs at risk in CT."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import PublishedSet, Use

_LABELS: Final = {1: "oesophagus", 2: "heart", 3: "trachea", 4: "aorta"}

SEGTHOR: Final = PublishedSet(
    name="segthor",
    title="SegTHOR 2019",
    home_page="https://competitions.codalab.org/competitions/21145",
    licence="on registration at CodaLab; no licence found",
    redistributable="unclear",
    licence_source="https://competitions.codalab.org/competitions/21145",
    citation="Lambert et al., IPTA 2020",
    modality="CT",
    layout="train/Patient_NN with Patient_NN.nii.gz and GT.nii.gz",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/segthor.py",
    patterns=(
        FilePattern(
            image=r"(?P<case>Patient_\d{2})/(?P=case)\.nii\.gz",
            masks=("{case}/GT.nii.gz",),
            patient="{case}",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={name: (number,) for number, name in _LABELS.items()},
    intensity="ct-organ",
    uses=(
        Use(
            paper="Iris",
            role="external",
            classes=3,
            split={"train": "test"},
            rule="held out; the table counts 3 classes, the text lists 4",
            total=40,
        ),
    ),
    expected=tuple(f"Patient_{number:02d}" for number in range(1, 41)),
)
