"""What a label is in the words of DICOM: its category and type, as SNOMED CT codes."""

from __future__ import annotations

from typing import Final, TypeAlias

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

Coded: TypeAlias = Code

# Label name -> keyword of the code in pydicom's dictionary.
_ANATOMY: Final[dict[str, str]] = {
    "adrenal gland": "AdrenalGland",
    "aorta": "Aorta",
    "bladder": "Bladder",
    "bone": "Bone",
    "brain": "Brain",
    "breast": "Breast",
    "colon": "Colon",
    "duodenum": "Duodenum",
    "esophagus": "Esophagus",
    "eye": "Eye",
    "femur": "Femur",
    "gallbladder": "Gallbladder",
    "heart": "Heart",
    "hippocampus": "Hippocampus",
    "inferior vena cava": "InferiorVenaCava",
    "kidney": "Kidney",
    "left atrium": "LeftAtrium",
    "left ventricle": "LeftVentricle",
    "liver": "Liver",
    "lung": "Lung",
    "oesophagus": "Esophagus",
    "pancreas": "Pancreas",
    "portal vein": "PortalVein",
    "prostate": "Prostate",
    "rectum": "Rectum",
    "right atrium": "RightAtrium",
    "right ventricle": "RightVentricle",
    "skin": "Skin",
    "small bowel": "SmallIntestine",
    "small intestine": "SmallIntestine",
    "spinal cord": "SpinalCord",
    "spleen": "Spleen",
    "stomach": "Stomach",
    "thyroid": "Thyroid",
    "trachea": "Trachea",
    "uterus": "Uterus",
    "vertebra": "Vertebra",
    "white matter": "WhiteMatter",
}
# Last words of a label that is no healthy structure ("kidney tumour").
_ABNORMAL: Final[dict[str, str]] = {
    "cancer": "Neoplasm",
    "cyst": "Cyst",
    "edema": "Edema",
    "haemorrhage": "Hemorrhage",
    "hemorrhage": "Hemorrhage",
    "lesion": "Lesion",
    "mass": "Mass",
    "necrosis": "Necrosis",
    "nodule": "Nodule",
    "oedema": "Edema",
    "tumor": "Neoplasm",
    "tumour": "Neoplasm",
}


def is_structure_name(name: str) -> bool:
    """Say whether a label's name consists of words for structures alone, and so names nobody.

    >>> is_structure_name("left kidney tumour"), is_structure_name("tumour of Mrs Smith")
    (True, False)
    """
    known = {word for whole in (*_ANATOMY, *_ABNORMAL) for word in whole.split()}
    words = name.casefold().replace("_", " ").replace("-", " ").split()
    return bool(words) and set(words) <= known | {"left", "right"}


def segment_code(name: str) -> tuple[Coded, Coded]:
    """Return category and type of a label by its name; one we have no code for is "Tissue".

    >>> [code.meaning for code in segment_code("Left kidney")]
    ['Anatomical Structure', 'Kidney']
    >>> [code.meaning for code in segment_code("kidney tumour")]
    ['Morphologically Abnormal Structure', 'Neoplasm']
    >>> [code.meaning for code in segment_code("hook")]
    ['Tissue', 'Tissue']
    """
    words = name.casefold().replace("_", " ").replace("-", " ").split()
    whole = " ".join(words)
    sideless = whole.removeprefix("left ").removeprefix("right ")
    keyword = _ANATOMY.get(whole) or _ANATOMY.get(sideless)
    if keyword is not None:
        return codes.SCT.AnatomicalStructure, getattr(codes.SCT, keyword)
    abnormal = _ABNORMAL.get(words[-1]) if words else None
    if abnormal is not None:
        return codes.SCT.MorphologicallyAbnormalStructure, getattr(codes.SCT, abnormal)
    return codes.SCT.Tissue, codes.SCT.Tissue
