"""Tiny trees in the official layout of every published set, with chiral content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import nibabel
import numpy as np

from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.datasets.mask_kind import BesideMask, ColourMask, ContourMask, SliceStackMask
from medprism.data.datasets.published import PublishedSet
from tests.data.phantoms import comma, picture
from tests.io.phantoms import write_series

AFFINE = np.array([[0.0, 0.8, 0.0, -9.0], [1.2, 0.0, 0.0, 4.0], [0.0, 0.0, 3.0, 7.0], [0, 0, 0, 1]])
SHAPE = (36, 28)
SLICES = 6

Pair = tuple[str, tuple[str, ...]]


def _pairs(image: str, mask: str | None, *names: tuple[str, ...]) -> list[Pair]:
    return [(image.format(*n), () if mask is None else (mask.format(*n),)) for n in names]


def _number(*numbers: int, form: str = "{}") -> list[tuple[str, ...]]:
    return [(form.format(number),) for number in numbers]


_IVDM = _number(1, 2, 3, form="{:02d}")
PATHS: dict[str, list[Pair]] = {
    "amos_ct": [
        *_pairs("imagesTr/amos_{}.nii.gz", "labelsTr/amos_{}.nii.gz", ("0001",), ("0004",)),
        *_pairs("imagesVa/amos_{}.nii.gz", "labelsVa/amos_{}.nii.gz", ("0008",)),
    ],
    "amos_mri": [
        *_pairs("imagesTr/amos_{}.nii.gz", "labelsTr/amos_{}.nii.gz", ("0507",), ("0508",)),
        *_pairs("imagesVa/amos_{}.nii.gz", "labelsVa/amos_{}.nii.gz", ("0517",)),
    ],
    "mnms": _pairs(
        "{0}/{1}/{1}_sa.nii.gz",
        "{0}/{1}/{1}_sa_gt.nii.gz",
        ("Training/Labeled", "A0S9V9"),
        ("Validation", "B3F0V9"),
        ("Testing", "C1K8P5"),
    ),
    "lits": _pairs(
        "Training Batch {0}/volume-{1}.nii",
        "Training Batch {0}/segmentation-{1}.nii",
        ("1", "0"),
        ("1", "27"),
        ("2", "28"),
    ),
    "kits19": _pairs(
        "data/case_{0}/imaging.nii.gz",
        "data/case_{0}/segmentation.nii.gz",
        ("00000",),
        ("00001",),
        ("00209",),
    ),
    "lascarqs": _pairs(
        "task2/train_data/train_{0}/enhanced.nii.gz",
        "task2/train_data/train_{0}/atriumSegImgMO.nii.gz",
        *_number(1, 2, 130),
    ),
    "busi": [
        ("benign/benign (1).png", ("benign/benign (1)_mask.png", "benign/benign (1)_mask_1.png")),
        ("benign/benign (10).png", ("benign/benign (10)_mask.png",)),
        ("malignant/malignant (1).png", ("malignant/malignant (1)_mask.png",)),
    ],
    "chest_xray_masks": _pairs(
        "Lung Segmentation/CXR_png/{0}.png",
        "Lung Segmentation/masks/{0}_mask.png",
        ("CHNCXR_0001_0",),
        ("CHNCXR_0002_0",),
        ("CHNCXR_0330_1",),
    ),
    "kpis": _pairs(
        "Task1_patch_level/data/{0}/img/{1}_img.jpg",
        "Task1_patch_level/data/{0}/mask/{1}_mask.jpg",
        ("56Nx/12_116", "56Nx_12_116_4_4096_0"),
        ("DN/11_356", "DN_11_356_0_0_0"),
        ("normal/F1", "normal_F1_1_1024_0"),
    ),
    "papila": _pairs(
        "FundusImages/{0}.jpg",
        "ExpertsSegmentations/Contours/{0}_disc_exp1.txt",
        ("RET002OD",),
        ("RET002OS",),
        ("RET004OD",),
    ),
    "bkai_igh": _pairs(
        "train/train/{0}.jpeg", "train_gt/train_gt/{0}.jpeg", ("0081835cf8",), ("ab",), ("c1",)
    ),
    "isic2018": _pairs(
        "ISIC2018_Task1-2_{0}_Input/ISIC_{1}.jpg",
        "ISIC2018_Task1_{0}_GroundTruth/ISIC_{1}_segmentation.png",
        ("Training", "0000000"),
        ("Validation", "0012255"),
        ("Test", "0012169"),
    ),
    "btcv": _pairs(
        "RawData/Training/img/img{0}.nii.gz",
        "RawData/Training/label/label{0}.nii.gz",
        ("0001",),
        ("0010",),
        ("0021",),
    ),
    "acdc": _pairs(
        "{0}/{1}/{1}_{2}.nii.gz",
        "{0}/{1}/{1}_{2}_gt.nii.gz",
        ("training", "patient001", "frame01"),
        ("training", "patient001", "frame12"),
        ("testing", "patient101", "frame14"),
    ),
    "uwaterloo_skin": _pairs(
        "Skin Image Data Set-{0}_orig.jpg",
        "Skin Image Data Set-{0}_contour.png",
        ("1/skin_data/melanoma/dermis/SSM1",),
        ("1/skin_data/melanoma/dermquest/SSM1",),
        ("2/skin_data/notmelanoma/dermis/D2",),
    ),
    "bus_b": _pairs("original/{0}.png", "GT/{0}.png", ("000001",), ("000002",), ("000005",)),
    "brats2021": _pairs(
        "RSNA_ASNR_MICCAI_BraTS2021_TrainingData/{0}/{0}_flair.nii.gz",
        "RSNA_ASNR_MICCAI_BraTS2021_TrainingData/{0}/{0}_seg.nii.gz",
        ("BraTS2021_00000",),
        ("BraTS2021_00002",),
        ("BraTS2021_00003",),
    ),
    "mnms2": _pairs(
        "dataset/{0}/{0}_LA_{1}.nii.gz",
        "dataset/{0}/{0}_LA_{1}_gt.nii.gz",
        ("001", "ED"),
        ("001", "ES"),
        ("200", "ED"),
        ("201", "ED"),
        ("360", "ES"),
    ),
    "autopet": _pairs(
        "FDG-PET-CT-Lesions/{0}/SUV.nii.gz",
        "FDG-PET-CT-Lesions/{0}/SEG.nii.gz",
        ("PETCT_0011f3deaf/03-23-2003-NA",),
        ("PETCT_0011f3deaf/04-02-2004-NA",),
        ("PETCT_ff/01-01-2000-NA",),
    ),
    "dlbs": _pairs(
        "{0}/{1}/anat/{0}_{1}_run-1_T1w.nii.gz",
        "derivatives/segmentation/{0}/{1}/anat/{0}_{1}_run-1_dseg.nii.gz",
        ("sub-1003", "ses-wave1"),
        ("sub-1003", "ses-wave2"),
        ("sub-1004", "ses-wave1"),
    ),
    "chaos_mr": [
        ("Train_Sets/MR/1/T1DUAL/DICOM_anon/InPhase", ("Train_Sets/MR/1/T1DUAL/Ground",)),
        ("Train_Sets/MR/1/T1DUAL/DICOM_anon/OutPhase", ("Train_Sets/MR/1/T1DUAL/Ground",)),
        ("Train_Sets/MR/2/T2SPIR/DICOM_anon", ("Train_Sets/MR/2/T2SPIR/Ground",)),
    ],
    "structseg_han": _pairs(
        "HaN_OAR/{0}/data.nii.gz", "HaN_OAR/{0}/label.nii.gz", *_number(1, 2, 50)
    ),
    "structseg_thorax": _pairs(
        "Thoracic_OAR/{0}/data.nii.gz", "Thoracic_OAR/{0}/label.nii.gz", *_number(1, 2, 50)
    ),
    **{
        f"ivdm3seg_{token}": _pairs(
            f"train/{{0}}/{{0}}_{token}.nii", "train/labels/{0}_Labels.nii", *_IVDM
        )
        for token in ("inn", "opp", "fat")
    },
    "ivdm3seg_wat": _pairs("{0}/{0}_wat.nii", "{0}/{0}_Labels.nii", *_IVDM),
    "segthor": _pairs(
        "train/Patient_{0}/Patient_{0}.nii.gz",
        "train/Patient_{0}/GT.nii.gz",
        *_number(1, 2, 40, form="{:02d}"),
    ),
    "msd_pancreas": _pairs(
        "Task07_Pancreas/imagesTr/pancreas_{0}.nii.gz",
        "Task07_Pancreas/labelsTr/pancreas_{0}.nii.gz",
        *_number(1, 4, 421, form="{:03d}"),
    ),
    "ctpelvic1k": _pairs(
        "CTPelvic1K_dataset6_data/dataset6_CLINIC_{0}_data.nii.gz",
        "ipcai2021_dataset6_Anonymized/dataset6_CLINIC_{0}_mask_4label.nii.gz",
        *_number(1, 2, 103, form="{:04d}"),
    ),
    "amd_sd": _pairs("AMD-SD/images/{0}.png", None, ("1/1_1",), ("1/1_10",), ("10/10_1",)),
    "btd": _pairs("images/{0}.png", "masks/{0}.png", *_number(1, 2, 3064)),
    "ebhi_seg": _pairs(
        "Adenocarcinoma/image/{0}.png",
        "Adenocarcinoma/label/{0}.png",
        ("GT2001837-1-400-001",),
        ("GT2001837-1-400-002",),
        ("GT2002028-1-400-001",),
    ),
    "tnui2021": _pairs(
        "thyroid_data/{0}/images/{1}.png",
        "thyroid_data/{0}/masks/{1}.png",
        ("train", "1"),
        ("val", "2"),
        ("test", "3"),
    ),
    "polyp_mix": _pairs(
        "{0}/{1}.png",
        "{2}/{1}.png",
        ("TrainDataset/image", "1", "TrainDataset/masks"),
        ("TestDataset/Kvasir/images", "1", "TestDataset/Kvasir/masks"),
        ("TestDataset/CVC-300/images", "1", "TestDataset/CVC-300/masks"),
    ),
    "covid_ct": [
        ("tr_im.nii.gz", ("tr_mask.nii.gz",)),
        ("rp_im/1.nii.gz", ("rp_msk/1.nii.gz",)),
        (
            "COVID-19-CT-Seg_20cases/coronacases_001.nii.gz",
            ("Infection_Mask/coronacases_001.nii.gz",),
        ),
    ],
}


def write_release(name: str, folder: Path) -> PublishedSet:
    """Write the tree of a set; every label of the release is somewhere in every volume."""
    published = PUBLISHED[name]
    writers: dict[type, Callable[[PublishedSet, Path, tuple[Path, ...], int], None]] = {
        ContourMask: _write_contour,
        BesideMask: _write_beside,
        SliceStackMask: _write_series,
    }
    for seed, (image, masks) in enumerate(PATHS[name]):
        paths = tuple(folder / path for path in (image, *masks))
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        default = _write_pictures if published.unit == "images" else _write_volumes
        writers.get(type(published.mask), default)(published, paths[0], paths[1:], seed)
    return published


def numbers_of(published: PublishedSet, seed: int) -> np.ndarray:
    """Return label numbers (slices, rows, cols): slice k > 0 holds each label with k = id mod 5."""
    numbers = np.zeros((SLICES, *SHAPE), np.uint8)
    for label_id in published.labels:
        size = 4 + label_id % 4
        top, left = (3 * label_id + seed) % (SHAPE[0] - 8), (5 * label_id) % (SHAPE[1] - 8)
        numbers[1 + label_id % (SLICES - 1)][comma(SHAPE, top, left, size)] = label_id
    return numbers


def _write_volumes(
    published: PublishedSet, image: Path, masks: tuple[Path, ...], seed: int
) -> None:
    numbers = numbers_of(published, seed)
    voxels = np.stack([picture(SHAPE, plane > 0, seed) for plane in numbers]).astype(np.int16) * 4
    if published.modality == "CT":
        voxels -= 600
    if any(pattern.has_frames for pattern in published.patterns):
        empty = np.zeros_like(numbers)
        numbers = np.stack([empty, numbers, empty, numbers[::-1]], axis=-1)
        voxels = np.stack([voxels, voxels, voxels, voxels[::-1]], axis=-1)
    for path, array in ((image, voxels), (masks[0], numbers)):
        turned = np.ascontiguousarray(np.swapaxes(array, 0, 2))
        nibabel.save(nibabel.Nifti1Image(turned, AFFINE), path)


def _planar(published: PublishedSet, seed: int) -> np.ndarray:
    return numbers_of(published, seed).max(axis=0)


def _write_pictures(
    published: PublishedSet, image: Path, masks: tuple[Path, ...], seed: int
) -> None:
    side = published.tile
    labels = _planar(published, seed)
    if side is not None:
        whole = np.zeros((side, 2 * side + 5), np.uint8)
        whole[40 : 40 + SHAPE[0], 7 : 7 + SHAPE[1]] = labels
        labels = whole
    colour = picture(labels.shape, labels > 0, seed, channels=3)
    assert cv2.imwrite(str(image), colour[..., ::-1])
    for number, path in enumerate(masks):
        shown = labels if number == 0 else np.roll(labels, 9, axis=1)
        if isinstance(published.mask, ColourMask):
            assert cv2.imwrite(str(path), _painted(published, shown)[..., ::-1])
        else:
            assert cv2.imwrite(str(path), np.where(shown > 0, 255, 0).astype(np.uint8))


def _painted(published: PublishedSet, labels: np.ndarray) -> np.ndarray:
    mask = published.mask
    assert isinstance(mask, ColourMask | BesideMask)
    painted = np.zeros((*labels.shape, 3), np.uint8)
    for label_id, colour in mask.colours.items():
        painted[labels == label_id] = colour
    return painted


def _write_beside(published: PublishedSet, image: Path, masks: tuple[Path, ...], seed: int) -> None:
    labels = _planar(published, seed)
    left = picture(SHAPE, labels > 0, seed, channels=3)
    both = np.concatenate([left, _painted(published, labels)], axis=1)
    assert cv2.imwrite(str(image), both[..., ::-1])


def _write_contour(
    published: PublishedSet, image: Path, masks: tuple[Path, ...], seed: int
) -> None:
    shade = picture(SHAPE, np.zeros(SHAPE, bool), seed, channels=3)
    assert cv2.imwrite(str(image), shade[..., ::-1])
    np.savetxt(masks[0], [[4, 5 + seed], [20, 5 + seed], [20, 12], [9, 12], [9, 30], [4, 30]])


def _write_series(published: PublishedSet, image: Path, masks: tuple[Path, ...], seed: int) -> None:
    mask = published.mask
    assert isinstance(mask, SliceStackMask)
    # In phase and out of phase share their masks.
    numbers = numbers_of(published, 0)
    image.mkdir(parents=True, exist_ok=True)
    masks[0].mkdir(parents=True, exist_ok=True)
    voxels = np.stack([picture(SHAPE, p > 0, seed) for p in numbers]).astype(np.uint16)
    files = write_series(image, voxels)
    for file, plane in zip(files, numbers, strict=True):
        grey = np.zeros(SHAPE, np.uint8)
        for label_id, (low, high) in mask.ids.items():
            grey[plane == label_id] = (low + high + 1) // 2
        # The names of the files run otherwise than their positions.
        rank = sorted(files).index(file)
        assert cv2.imwrite(str(masks[0] / f"IMG-0004-{rank + 1:05d}.png"), grey)
