"""DICOM-SEG, written with highdicom: binary (overlap allowed) or as a label map."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Shaped
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medprism.core.errors import LabelError, WriteError
from medprism.core.image import Image
from medprism.io.dicom import SourceSlices
from medprism.io.dicom_pixels import Dataset
from medprism.io.dicom_source import source_of
from medprism.io.foreign import encoding
from medprism.io.mask_export import Algorithm, MaskExport

KIND: Final = "DICOM-SEG"
# The longest LO element.
_NAME_LIMIT: Final = 64
_MAKER: Final = "medprism"
# Above the numbers that scanners give, so that the masks come after the images.
_SERIES_NUMBER: Final = 900


def check_seg_source(image: Image) -> None:
    """Refuse an image that no DICOM-SEG can refer to.

    Raises:
        WriteError: not from DICOM, files gone, a film whose frames have no place, or slices without
            a frame of reference.
        GeometryError: the files changed.
    """
    source = source_of(image, KIND)
    first = source.headers[0]
    is_placed = source.planes[0].position is not None and first.get("FrameOfReferenceUID")
    if image.num_slices > 1 and not is_placed:
        raise WriteError(
            f"{KIND} needs a position and a FrameOfReferenceUID for every slice, and the "
            f"{image.num_slices} slices of {image.source} have none; write .tif or .nii.gz"
        )


def check_dicom_name(name: str) -> str:
    r"""Return a label's name if DICOM can hold it.

    Raises:
        LabelError: empty, longer than 64 characters, with a backslash or a control character, or
            with spaces at an end.

    >>> check_dicom_name("left lung")
    'left lung'
    """
    is_plain = name == name.strip() and "\\" not in name and name.isprintable()
    if not name or len(name) > _NAME_LIMIT or not is_plain:
        raise LabelError(
            f"the label {name!r} does not fit into DICOM: 1 to {_NAME_LIMIT} characters without "
            "backslash, line breaks and spaces at the ends; rename it, or write .nii.gz"
        )
    return name


def write_binary_seg(path: Path, export: MaskExport) -> None:
    """Write one bit a voxel and label, so that labels may overlap.

    Raises:
        LabelError: a name that DICOM cannot hold, or no label.
        WriteError: see `check_seg_source`, or a header that cannot be copied.
    """
    planes = list(export.planes())
    if not planes:
        raise LabelError("there is no label to write; a DICOM-SEG holds at least one")
    stack: Bool[np.ndarray, "slices height width labels"] = np.stack(
        [plane for _, _, plane in planes], axis=-1
    )
    # Binary segments must be numbered without gaps.
    numbers = list(range(1, len(planes) + 1))
    _write(path, export, stack, numbers, "BINARY")


def write_label_map_seg(path: Path, export: MaskExport) -> None:
    """Write one number a voxel (supplement 243); overlaps were merged before.

    Raises:
        LabelError: a name that DICOM cannot hold, or no label.
        WriteError: see `check_seg_source`, or a header that cannot be copied.
    """
    if not export.merged.names:
        raise LabelError("there is no label to write; a DICOM-SEG holds at least one")
    _write(path, export, np.asarray(export.stack), sorted(export.merged.names), "LABELMAP")


def _write(
    path: Path,
    export: MaskExport,
    stack: Shaped[np.ndarray, "slices height width *labels"],
    numbers: list[int],
    kind: str,
) -> None:
    # 0.7 s to import: only those who write it wait.
    import highdicom

    check_seg_source(export.image)
    source = source_of(export.image, KIND)
    first = source.headers[0]
    with encoding(KIND):
        segmentation = highdicom.seg.Segmentation(
            source_images=_objects(source),
            pixel_array=_in_file_order(stack, source),
            segmentation_type=kind,
            segment_descriptions=_segments(export, numbers),
            series_instance_uid=generate_uid(prefix=None),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=_MAKER,
            manufacturer_model_name=export.algorithm.name[:_NAME_LIMIT],
            software_versions=export.algorithm.version[:_NAME_LIMIT],
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=f"{_MAKER} segmentation",
            series_description=f"{_MAKER} segmentation",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=bool(stack.any()),
            # Label names are any language; what is copied is encoded anew.
            specific_character_set="ISO_IR 192",
        )
        segmentation.StudyDescription = first.get("StudyDescription")
        if export.deidentify is not None:
            export.deidentify.clean(segmentation)
        segmentation.save_as(path)


def _objects(source: SourceSlices) -> list[Dataset]:
    """Return every file once."""
    return list({id(header): header for header in source.headers}.values())


def _in_file_order(
    stack: Shaped[np.ndarray, "slices height width *labels"], source: SourceSlices
) -> Shaped[np.ndarray, "frames height width *labels"]:
    """Return slices as the frames of a multi-frame object lie; files are in our order already."""
    if len(_objects(source)) > 1:
        return stack
    ordered = np.zeros_like(stack)
    ordered[list(source.frames)] = stack
    return ordered


def _segments(export: MaskExport, numbers: list[int]) -> list[Any]:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    from medprism.io.segment_code import segment_code

    described = []
    for number, (own, name) in zip(numbers, sorted(export.merged.names.items()), strict=True):
        category, kind = segment_code(name)
        described.append(
            SegmentDescription(
                segment_number=number,
                segment_label=check_dicom_name(name),
                segmented_property_category=category,
                segmented_property_type=kind,
                algorithm_type=export.algorithm.kind(name),
                algorithm_identification=_identification(export.algorithm),
                display_color=CIELabColor.from_rgb(*export.colours[own]),
            )
        )
    return described


def _identification(algorithm: Algorithm) -> Any:  # noqa: ANN401 - highdicom is not imported here
    from highdicom import AlgorithmIdentificationSequence

    return AlgorithmIdentificationSequence(
        name=algorithm.name[:_NAME_LIMIT],
        family=codes.DCM.ArtificialIntelligence,
        version=algorithm.version[:_NAME_LIMIT],
        source=_MAKER,
    )
