"""RTSTRUCT, written with pydicom: one ROI a label, contours in mm on the image's own slices.

Holes are keyholes (see `contour`), since CLOSED_PLANAR has no other way to say them and the newer
CLOSEDPLANAR_XOR is refused by most planning systems.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from medprism.core.errors import InternalError, LabelError, WriteError
from medprism.core.image import Image, PlaneStack
from medprism.io.contour import Points, trace
from medprism.io.dicom import SourceSlices
from medprism.io.dicom_grid import Plane
from medprism.io.dicom_seg import check_dicom_name
from medprism.io.dicom_source import source_of
from medprism.io.foreign import encoding
from medprism.io.mask_export import MaskExport

KIND: Final = "RTSTRUCT"
# Retired, but what every system writes and expects here.
_STUDY_CLASS: Final = UID("1.2.840.10008.3.1.2.3.1")
_SHORT: Final = 16
_LONG: Final = 64
_COPIED: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription"),
    *("ReferringPhysicianName", "AccessionNumber", "FrameOfReferenceUID"),
    "PositionReferenceIndicator",
)


def check_contour_source(image: Image) -> None:
    """Refuse an image whose masks no RTSTRUCT can hold.

    Raises:
        WriteError: not from DICOM, files gone, or slices without position, spacing or frame of
            reference.
        GeometryError: the files changed.
    """
    source = source_of(image, KIND)
    lacking = []
    if source.planes[0].position is None:
        lacking.append("position (ImagePositionPatient)")
    if source.planes[0].spacing is None:
        lacking.append("spacing (PixelSpacing)")
    if not source.headers[0].get("FrameOfReferenceUID"):
        lacking.append("frame of reference (FrameOfReferenceUID)")
    if lacking:
        raise WriteError(
            f"{KIND} holds contours in mm of the patient, and {image.source} has no "
            f"{' and no '.join(lacking)}; write .dcm (DICOM-SEG) or .nii.gz"
        )


def write_rtstruct(path: Path, export: MaskExport) -> None:
    """Write every label as a region of interest; one without a pixel has no contour.

    Raises:
        LabelError: a name that DICOM cannot hold, or no label.
        WriteError: see `check_contour_source`, or a header that cannot be copied.
    """
    check_contour_source(export.image)
    if not export.merged.names:
        raise LabelError("there is no label to write; an RTSTRUCT holds at least one")
    source = source_of(export.image, KIND)
    with encoding(KIND):
        structures = _frame(source, export)
        for number, name, planes in export.planes():
            _add_region(structures, number, check_dicom_name(name), planes, source, export)
        if export.deidentify is not None:
            export.deidentify.clean(structures)
        structures.save_as(path, enforce_file_format=True)


def _frame(source: SourceSlices, export: MaskExport) -> Dataset:
    """Return everything but the regions."""
    first, now = source.headers[0], datetime.now(tz=UTC)
    structures = Dataset()
    structures.file_meta = FileMetaDataset()
    # Explicit VR counts the bytes of a contour in 16 bit, which long ones exceed.
    structures.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    structures.SpecificCharacterSet = "ISO_IR 192"
    structures.SOPClassUID = RTStructureSetStorage
    structures.SOPInstanceUID = generate_uid(prefix=None)
    structures.SeriesInstanceUID = generate_uid(prefix=None)
    for name in _COPIED:
        if name in first:
            setattr(structures, name, first[name].value)
    structures.Modality = "RTSTRUCT"
    structures.Manufacturer = "medprism"
    structures.ManufacturerModelName = export.algorithm.name[:_LONG]
    structures.SoftwareVersions = export.algorithm.version[:_LONG]
    structures.SeriesNumber = None
    structures.InstanceNumber = 1
    structures.SeriesDescription = "medprism contours"
    structures.OperatorsName = None
    structures.StructureSetLabel = "medprism"[:_SHORT]
    structures.StructureSetDate = structures.InstanceCreationDate = now.strftime("%Y%m%d")
    structures.StructureSetTime = structures.InstanceCreationTime = now.strftime("%H%M%S")
    structures.ApprovalStatus = "UNAPPROVED"
    structures.ReferencedFrameOfReferenceSequence = Sequence([_references(source)])
    structures.StructureSetROISequence = Sequence([])
    structures.ROIContourSequence = Sequence([])
    structures.RTROIObservationsSequence = Sequence([])
    return structures


def _references(source: SourceSlices) -> Dataset:
    first = source.headers[0]
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = Sequence(
        [_slice(source, index) for index in range(len(source.headers))]
    )
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = Sequence([study])
    return frame


def _slice(source: SourceSlices, index: int) -> Dataset:
    header = source.headers[index]
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if header.get("NumberOfFrames"):
        reference.ReferencedFrameNumber = source.frames[index] + 1
    return reference


def _add_region(
    structures: Dataset,
    number: int,
    name: str,
    planes: PlaneStack,
    source: SourceSlices,
    export: MaskExport,
) -> None:
    region, outline, observation = Dataset(), Dataset(), Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = source.headers[0].FrameOfReferenceUID
    region.ROIName = name
    region.ROIGenerationAlgorithm = export.algorithm.kind(name)
    region.ROIGenerationDescription = f"{export.algorithm.name} {export.algorithm.version}"[:_LONG]
    structures.StructureSetROISequence.append(region)
    outline.ROIDisplayColor = list(export.colours[number])
    outline.ReferencedROINumber = number
    contours = _contours(planes, source)
    if contours:
        outline.ContourSequence = Sequence(contours)
    structures.ROIContourSequence.append(outline)
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = ""
    observation.ROIInterpreter = None
    structures.RTROIObservationsSequence.append(observation)


def _contours(planes: PlaneStack, source: SourceSlices) -> list[Dataset]:
    found: list[Dataset] = []
    for index, plane in enumerate(planes):
        for points in trace(plane) if plane.any() else []:
            contour = Dataset()
            contour.ContourNumber = len(found) + 1
            contour.ContourImageSequence = Sequence([_slice(source, index)])
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = _millimetres(points, source.planes[index])
            found.append(contour)
    return found


def _millimetres(points: Points, plane: Plane) -> list[str]:
    """Return x, y, z of every point in LPS mm, in at most 16 characters each.

    They lie on the plane that the instance itself gives, from which the image's even grid may
    differ by what positions are rounded.
    """
    if plane.position is None or plane.spacing is None:
        raise InternalError("a contour on a slice without position or spacing")
    rows, cols = plane.spacing
    axes = np.stack([plane.along_rows * rows, plane.along_cols * cols])
    return [f"{value:.5f}" for value in (points @ axes + plane.position).ravel().tolist()]
