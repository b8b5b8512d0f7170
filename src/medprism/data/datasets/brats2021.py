"""BraTS 2021: gliomas in MRI of four sequences; FLAIR is read."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {1: "necrotic tumour core", 2: "peritumoural oedema", 4: "enhancing tumour"}

BRATS2021: Final = PublishedSet(
    name="brats2021",
    title="BraTS 2021",
    home_page="https://www.synapse.org/#!Synapse:syn25829067/wiki/610863",
    licence="CC BY 4.0 at TCIA; on registration at Synapse",
    redistributable="yes (CC BY 4.0 at TCIA)",
    licence_source="https://www.cancerimagingarchive.net/analysis-result/"
    "rsna-asnr-miccai-brats-2021/",
    citation="Baid et al., arXiv:2107.02314",
    modality="MR",
    layout="BraTS2021_NNNNN with ID_flair, ID_t1, ID_t1ce, ID_t2 and ID_seg.nii.gz",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/BraTS2021.md",
    patterns=(
        FilePattern(
            image=r"(?P<case>BraTS2021_\d{5})/(?P=case)_flair\.nii\.gz",
            masks=("{case}/{case}_seg.nii.gz",),
            patient="{case}",
            also=r".*_(t1|t1ce|t2)\.nii\.gz",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={
        "necrotic tumour core": (1,),
        "peritumoural oedema": (2,),
        "enhancing tumour": (4,),
        "brain tumour": (1, 4),
    },
    intensity="percentile",
    uses=(
        Use(
            paper="K-Prism",
            role="unseen",
            classes=1,
            split={"train": "test"},
            rule="369 slices; their list, the sequence and the target are not stated",
            slices=Counts(test=369),
        ),
    ),
    notes="1,251 training cases are public; 369 is the number of slices that the paper tests on",
)
