"""IVDM3Seg: intervertebral discs in Dixon MRI, four aligned images with one mask."""

from __future__ import annotations

from typing import Final

from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import BinaryMask
from medprism.data.datasets.published import PublishedSet, Use


def _sequence(token: str, words: str, use: Use) -> PublishedSet:
    return PublishedSet(
        name=f"ivdm3seg_{token}",
        title=f"IVDM3Seg 2018 ({words})",
        home_page="https://ivdm3seg.weebly.com",
        licence="on an agreement form; no licence found",
        redistributable="unclear",
        licence_source="https://ivdm3seg.weebly.com/data.html",
        citation="Zheng, Belavy and Li, IVDM3Seg, MICCAI 2018 challenge",
        modality="MR",
        layout="NN/NN_fat.nii, NN_inn.nii, NN_opp.nii, NN_wat.nii and NN_Labels.nii (or labels/)",
        layout_source="https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/IVDM3Seg.md",
        patterns=(
            FilePattern(
                image=rf"(?P<case>\d{{2}})/(?P=case)_{token}\.nii(?P<packed>\.gz)?",
                masks=("{case}/{case}_Labels.nii{packed}|labels/{case}_Labels.nii{packed}",),
                patient="{case}",
                also=r"\d{2}/\d{2}_(fat|inn|opp|wat)\.nii(\.gz)?",
            ),
        ),
        mask=BinaryMask(),
        labels={1: "intervertebral disc"},
        concepts={"intervertebral disc": (1,)},
        intensity="percentile",
        uses=(use,),
        expected=tuple(f"{number:02d}" for number in range(1, 17)),
        notes="16 data sets are of 8 subjects seen twice, and which belong together is not known; "
        "scripts show the masks in labels",
    )


def _held_out(token: str, words: str) -> PublishedSet:
    use = Use(
        paper="Iris",
        role="external",
        classes=1,
        split={"train": "test"},
        rule="held out: the discs are known, the sequence is not",
        total=16,
    )
    return _sequence(token, words, use)


IVDM3SEG_WAT: Final = _sequence(
    "wat",
    "water",
    Use(
        paper="Iris",
        role="train",
        classes=1,
        split={"train": (75, 5, 20)},
        rule="75 : 5 : 20",
        total=16,
    ),
)
IVDM3SEG_INN: Final = _held_out("inn", "in phase")
IVDM3SEG_OPP: Final = _held_out("opp", "opposed phase")
IVDM3SEG_FAT: Final = _held_out("fat", "fat")
