"""CTPelvic1K, part 6 (CLINIC): pelvic bones in CT.

The order of the two hip bones is quoted both ways; that of `layout_source`, which was checked on
the positions in the scans, is taken: 2 is the patient's left.
"""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import PublishedSet, Use

_LABELS: Final = {1: "sacrum", 2: "left hip bone", 3: "right hip bone", 4: "lumbar spine"}

CTPELVIC1K: Final = PublishedSet(
    name="ctpelvic1k",
    title="CTPelvic1K (part 6)",
    home_page="https://github.com/MIRACLE-Center/CTPelvic1K",
    licence="CC BY-NC-SA 4.0 (part 6, as the paper says)",
    redistributable="yes (non-commercial, share-alike)",
    licence_source="https://doi.org/10.1007/s11548-021-02363-8",
    citation="Liu et al., Int J Comput Assist Radiol Surg 16, 2021",
    modality="CT",
    layout="CTPelvic1K_dataset6_data/ID_data, ipcai2021_dataset6_Anonymized/ID_mask_4label",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/"
    "ctpelvic1k.py",
    patterns=(
        FilePattern(
            image=r"CTPelvic1K_dataset6_data/(?P<case>dataset6_CLINIC_\d{4})_data\.nii\.gz",
            masks=("ipcai2021_dataset6_Anonymized/{case}_mask_4label.nii.gz",),
            patient="{case}",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={
        "sacrum": (1,),
        "left hip bone": (2,),
        "right hip bone": (3,),
        "hip bone": (2, 3),
        "lumbar spine": (4,),
    },
    intensity="ct-organ",
    uses=(
        Use(
            paper="Iris",
            role="unseen",
            classes=4,
            split={"train": "test"},
            rule="held out",
            total=103,
        ),
    ),
    expected=tuple(f"dataset6_CLINIC_{number:04d}" for number in range(1, 104)),
)
