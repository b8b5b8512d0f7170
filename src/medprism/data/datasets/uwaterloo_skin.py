"""University of Waterloo skin cancer pictures (DermIS and DermQuest) with outlined lesions."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import Counts, PublishedSet, Use

UWATERLOO_SKIN: Final = PublishedSet(
    name="uwaterloo_skin",
    title="UWaterloo skin cancer",
    home_page="https://uwaterloo.ca/vision-image-processing-lab/research-demos/skin-cancer-detection",
    licence="non-commercial use (as MedSegBench lists it)",
    redistributable="unclear",
    licence_source="https://github.com/zekikus/MedSegBench",
    citation="University of Waterloo, Vision and Image Processing Lab",
    modality=None,
    layout="skin_data/melanoma and skin_data/notmelanoma: SOURCE/ID_orig.jpg and ID_contour.png",
    layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/uwaterloo_skin.py",
    patterns=(
        FilePattern(
            image=r"(?P<kind>melanoma|notmelanoma)/(?P<source>[^/]+)/(?P<case>[^/]+)_orig\.jpg",
            masks=("{kind}/{source}/{case}_contour.png",),
            case="{kind}_{source}_{case}",
        ),
    ),
    mask=BinaryMask(),
    labels={1: "skin lesion"},
    concepts={"skin lesion": (1,)},
    intensity="eight-bit",
    unit="images",
    uses=(
        Use(
            paper="K-Prism",
            role="external",
            classes=1,
            split={"train": "test"},
            rule="all pictures as an external test set",
            cases=Counts(test=167),
        ),
    ),
    notes="the number of pictures in the archives is not established here",
)
