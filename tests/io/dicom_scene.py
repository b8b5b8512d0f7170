"""DICOM series of every make for masks that refer to them: tilted, oblique, enhanced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage

from medprism.core.image import Image
from medprism.io.reader import read_image
from tests.io.phantoms import ct_slice, holed, write_series

SHAPE = (5, 23, 31)
VOLUME = np.random.default_rng(21).integers(0, 4096, SHAPE).astype(np.uint16)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
# Settings of `write_series`: straight, tilted gantry, feet first, oblique with wide slices.
SERIES: dict[str, dict[str, object]] = {
    "axial": {},
    "tilted": {"step": (0.0, 0.9, 2.5)},
    "downwards": {"step": (0.0, 0.0, -3.0), "spacing": (1.7, 0.4)},
    "coronal": {"step": (0.0, 2.0, 0.0), "orientation": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)},
    "oblique": {
        "step": tuple((5.0 * np.cross(OBLIQUE[:3], OBLIQUE[3:])).tolist()),
        "orientation": OBLIQUE,
        "spacing": (0.3, 1.1),
    },
}
LABELS = holed(SHAPE)


def series(folder: Path, kind: str = "axial") -> Image:
    """Write and read a series."""
    write_series(folder / kind, VOLUME, **SERIES[kind])  # type: ignore[arg-type]
    return read_image(folder / kind)


def enhanced(path: Path) -> Image:
    """Write and read an enhanced CT whose frames are stored in no order."""
    dataset = ct_slice(VOLUME[0], (0.0, 0.0, 0.0))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    stored = (3, 0, 4, 2, 1)
    dataset.NumberOfFrames = len(stored)
    dataset.PixelData = VOLUME[list(stored)].tobytes()
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, 2.0
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    frames = []
    for number in stored:
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-10.0, 20.0, 2.5 * number]
        content.DimensionIndexValues = [number + 1]
        frame.PlanePositionSequence = Sequence([position])
        frame.FrameContentSequence = Sequence([content])
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(dataset, name)
    dataset.save_as(path)
    return read_image(path)
