"""Chiral label volumes, grids of every orientation, and DICOM series made on the spot."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import Labels

SHAPE = (4, 6, 9)


def labels(shape: tuple[int, ...] = SHAPE) -> Labels:
    """Return two structures that no flip or swap of axes maps onto themselves."""
    first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    rows, cols = shape[-2], shape[-1]
    first[..., : rows // 2, 1] = True
    first[..., 0, 1 : cols // 2] = True
    second[..., rows - 2, cols // 3 :] = True
    if len(shape) == 3:
        first[-1] = False
        second[0, :, 0] = True
    return Labels({"left lung": first, "Tümor": second})


def holed(shape: tuple[int, int, int] = (5, 23, 31)) -> Labels:
    """Return a chiral plate with holes, an island in one of them, and a bar that overlaps it."""
    plate, bar = np.zeros(shape, bool), np.zeros(shape, bool)
    plate[1:4, 2:20, 3:25] = True
    plate[1:3, 4:9, 5:12] = False
    plate[1, 6, 7:10] = True
    plate[2:4, 12:14, 15:22] = False
    plate[3, 18, 4] = False
    bar[2:, 10:22, 20:29] = True
    bar[4, 12, 27] = False
    return Labels({"left lung": plate, "Tümor": bar})


def oriented(
    order: tuple[int, ...],
    signs: tuple[float, ...],
    *,
    spacing: tuple[float, float, float] = (2.5, 0.7, 1.3),
    turn: float = 0.0,
    shear: float = 0.0,
    shape: tuple[int, int, int] = SHAPE,
) -> Geometry:
    """Return a grid whose axes point along permuted world axes, then turned and sheared."""
    axes = np.zeros((3, 3))
    axes[list(order), range(3)] = signs
    skew = np.eye(3)
    skew[1, 0] = shear
    rotation = Rotation.from_rotvec(turn * np.array([0.5, -0.3, 0.8])).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ axes @ skew * spacing
    affine[:3, 3] = (-31.5, 12.25, 190.0)
    return Geometry(shape, affine)


def orientations() -> Iterator[tuple[tuple[int, ...], tuple[float, ...]]]:
    """Yield all 48 ways to lay three axes along the world's."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            yield order, signs


def image_on(geometry: Geometry) -> Image:
    """Return a ramp on a grid."""
    voxels = np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(*geometry.shape, 1)
    return Image(voxels, geometry, is_planar=geometry.shape[0] == 1)


def world_points(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the world position of every voxel of a mask, in a fixed order."""
    voxels = np.argwhere(mask)
    points = voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return points[np.lexsort(points.round(3).T)]


def ct_slice(
    pixels: np.ndarray,
    position: tuple[float, float, float],
    *,
    series: str = "1.2.3.4",
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    spacing: tuple[float, float] = (0.5, 0.8),
) -> FileDataset:
    """Return an uncompressed CT slice: stored unsigned, rescaled by -1024."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = "1.2.3"
    dataset.FrameOfReferenceUID = f"{series}.9"
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Müller^Jörg", "17", "U"
    dataset.SeriesInstanceUID = series
    dataset.SeriesDescription = "thorax"
    dataset.Modality = "CT"
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.8f}" for value in orientation]
    dataset.PixelSpacing = list(spacing)
    dataset.SliceThickness = 2.0
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = pixels.astype("<u2").tobytes()
    return dataset


def write_series(
    folder: Path,
    volume: np.ndarray,
    *,
    step: tuple[float, float, float] = (0.0, 0.0, 2.0),
    start: tuple[float, float, float] = (-10.0, 20.0, -30.0),
    **settings: object,
) -> list[Path]:
    """Write a series with shuffled file names; return the files by slice."""
    names = np.random.default_rng(5).permutation(len(volume))
    folder.mkdir(exist_ok=True)
    paths = []
    for number, pixels in enumerate(volume):
        position = tuple(np.add(start, np.multiply(step, number)).tolist())
        path = folder / f"im{names[number]:03d}.dcm"
        ct_slice(pixels, position, **settings).save_as(path)  # type: ignore[arg-type]
        paths.append(path)
    return paths


def bundled(name: str) -> Path:
    """Return a DICOM file that pydicom ships inside its package."""
    return Path(pydicom.__file__).parent / "data" / "test_files" / name
