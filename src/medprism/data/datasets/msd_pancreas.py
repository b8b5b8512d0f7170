"""Medical Segmentation Decathlon, task 7: pancreatic tumours in CT."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import PublishedSet, Use

_LABELS: Final = {1: "pancreas", 2: "pancreatic tumour"}

MSD_PANCREAS: Final = PublishedSet(
    name="msd_pancreas",
    title="MSD Task07 Pancreas",
    home_page="http://medicaldecathlon.com",
    licence="CC BY-SA 4.0",
    redistributable="yes (CC BY-SA 4.0)",
    licence_source="http://medicaldecathlon.com",
    citation="Antonelli et al., Nature Communications 13, 2022",
    modality="CT",
    layout="Task07_Pancreas/imagesTr and labelsTr with pancreas_NNN.nii.gz",
    layout_source="http://medicaldecathlon.com",
    patterns=(
        FilePattern(
            image=r"imagesTr/(?P<case>pancreas_\d{3})\.nii\.gz",
            masks=("labelsTr/{case}.nii.gz",),
            patient="{case}",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    # Iris holds out the tumour; its training sets label the pancreas.
    concepts={"pancreatic tumour": (2,)},
    intensity="ct-tumour",
    uses=(
        Use(
            paper="Iris",
            role="unseen",
            classes=1,
            split={"train": "test"},
            rule="held out",
            total=281,
        ),
    ),
)
