"""StructSeg 2019: organs at risk in CT of the head and neck, and of the thorax."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published import PublishedSet, Use

_HEAD_AND_NECK: Final = (
    "brain stem",
    "left eye",
    "right eye",
    "left lens",
    "right lens",
    "left optic nerve",
    "right optic nerve",
    "optic chiasm",
    "left temporal lobe",
    "right temporal lobe",
    "pituitary gland",
    "left parotid gland",
    "right parotid gland",
    "left inner ear",
    "right inner ear",
    "left middle ear",
    "right middle ear",
    "left temporomandibular joint",
    "right temporomandibular joint",
    "spinal cord",
    "left mandible",
    "right mandible",
)
_THORAX: Final = ("left lung", "right lung", "heart", "oesophagus", "trachea", "spinal cord")


def _structseg(
    name: str, title: str, folder: str, organs: tuple[str, ...], pair: str
) -> PublishedSet:
    labels = dict(enumerate(organs, start=1))
    return PublishedSet(
        name=name,
        title=title,
        home_page="https://structseg2019.grand-challenge.org",
        licence="participants only, not to be handed on",
        redistributable="no",
        licence_source="https://structseg2019.grand-challenge.org/Download/",
        citation="StructSeg 2019 challenge, MICCAI 2019",
        modality="CT",
        layout=f"{folder}/N with data.nii.gz and label.nii.gz",
        layout_source="https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/structseg.py",
        patterns=(
            FilePattern(
                image=rf"{folder}/(?P<case>\d+)/data\.nii\.gz",
                masks=(f"{folder}/{{case}}/label.nii.gz",),
                patient="{case}",
            ),
        ),
        mask=NumberMask({number: number for number in labels}),
        labels=labels,
        concepts={
            **{organ: (number,) for number, organ in labels.items()},
            # Left and right together are what other sets label.
            pair: tuple(number for number, organ in labels.items() if organ.endswith(pair)),
        },
        intensity="ct-organ",
        uses=(
            Use(
                paper="Iris",
                role="train",
                classes=len(organs),
                split={"train": (75, 5, 20)},
                rule="75 : 5 : 20",
                total=50,
            ),
        ),
        expected=tuple(str(number) for number in range(1, 51)),
    )


STRUCTSEG_HAN: Final = _structseg(
    "structseg_han", "StructSeg 2019 (head and neck)", "HaN_OAR", _HEAD_AND_NECK, "mandible"
)
STRUCTSEG_THORAX: Final = _structseg(
    "structseg_thorax", "StructSeg 2019 (thorax)", "Thoracic_OAR", _THORAX, "lung"
)
