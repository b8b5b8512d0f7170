"""KPIs 2024, patch level: glomeruli in kidney sections of rodents."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

KPIS: Final = PublishedSet(
    name="kpis",
    title="KPIs 2024 (patch level)",
    home_page="https://sites.google.com/view/kpis2024",
    licence="on registration at Synapse; no licence found",
    redistributable="unclear",
    licence_source="https://www.synapse.org/Synapse:syn54077668",
    citation="Deng et al., arXiv:2502.07288",
    modality="SM",
    layout="Task1_patch_level/data/MODEL/SLIDE with img/*_img.jpg and mask/ of the same names",
    layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/KPIs.md",
    patterns=(
        FilePattern(
            image=r"(?P<model>56Nx|DN|NEP25|normal)/(?P<slide>[^/]+)/img/(?P<case>[^/]+)_img\.jpg",
            masks=("{model}/{slide}/mask/{case}_*.jpg",),
            patient="{model}/{slide}",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "glomerulus"},
    concepts={"glomerulus": (1,)},
    intensity="eight-bit",
    unit="images",
    tile=512,
    uses=(
        Use(
            paper="K-Prism",
            role="train",
            classes=1,
            split={"train": (75, 5, 20)},
            rule="75 : 5 : 20 of the official training set, cut into 512 x 512, empty ones dropped",
            cases=Counts(train=8261, val=500, test=4055),
        ),
    ),
    notes="Table 6 counts are 64 : 4 : 32 and contradict the stated rule; drawn here by slide",
)
