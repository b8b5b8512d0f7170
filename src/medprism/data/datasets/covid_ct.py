"""COVID-19 CT: infected lung, from the two sources that TP-Seg unites.

MedSeg publishes 100 slices as one volume and 9 volumes; the Zenodo record 20 volumes. How the paper
cut 1,279 slices from them is not stated.
"""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

_LABELS: Final = {1: "ground glass or any infection", 2: "consolidation", 3: "pleural effusion"}

COVID_CT: Final = PublishedSet(
    name="covid_ct",
    title="COVID-19 CT (MedSeg and 20 cases)",
    home_page="https://medicalsegmentation.com/COVID19/",
    licence="MedSeg CC0 (figshare 13521488); the 20 cases CC BY-NC-SA",
    redistributable="unclear (non-commercial, share-alike)",
    licence_source="https://github.com/JunMa11/COVID-19-CT-Seg-Benchmark",
    citation="MedSeg, 2020; Ma et al., Medical Physics 48, 2021",
    modality="CT",
    layout="tr_im.nii.gz, tr_mask.nii.gz, rp_im, rp_msk; COVID-19-CT-Seg_20cases, Infection_Mask",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/covid19_seg.py",
    patterns=(
        FilePattern(
            image=r"tr_im\.nii\.gz",
            masks=("tr_mask.nii.gz",),
            case="medseg",
        ),
        FilePattern(
            image=r"rp_im/(?P<case>\d+)\.nii\.gz",
            masks=("rp_msk/{case}.nii.gz",),
            case="radiopaedia_{case}",
            patient="radiopaedia_{case}",
        ),
        FilePattern(
            image=r"COVID-19-CT-Seg_20cases/(?P<case>[^/]+)\.nii\.gz",
            masks=("Infection_Mask/{case}.nii.gz",),
            case="zenodo_{case}",
            patient="zenodo_{case}",
        ),
    ),
    mask=NumberMask({number: number for number in _LABELS}),
    labels=_LABELS,
    concepts={"lung infection": (1, 2)},
    intensity="ct-organ",
    uses=(
        Use(
            paper="TP-Seg",
            role="train",
            classes=1,
            split={"train": (894, 385, 0)},
            rule="894 and 385 slices; the choice is not published; here by volume",
            slices=Counts(train=894, val=385),
        ),
    ),
    notes="the source shows the Zenodo part, the names of MedSeg's files are known from public "
    "scripts only; Zenodo numbers any infection 1; whether the paper includes effusion is not "
    "stated; the licence of the 20 cases is that of their authors' table, that of the 9 volumes of "
    "MedSeg is not established here",
)
