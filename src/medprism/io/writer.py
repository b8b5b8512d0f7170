"""Write masks and probabilities on the image's own grid; every file is whole or not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as Pillow

from medprism.core.durable import write_durably, write_folder_durably
from medprism.core.errors import GeometryError, ImageReadError, WriteError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.io.coco import write_coco
from medprism.io.deidentify import Deidentifier
from medprism.io.dicom import holds_dicom
from medprism.io.dicom_seg import check_seg_source, write_binary_seg, write_label_map_seg
from medprism.io.mask_export import Algorithm, MaskExport, Stack, palette_of, prepare_export
from medprism.io.mask_file import Colour, pack_names
from medprism.io.recognise import recognise
from medprism.io.rtstruct import check_contour_source, write_rtstruct
from medprism.io.voxel_writer import (
    Header,
    write_indexed_png,
    write_itk,
    write_nifti,
    write_png_stack,
    write_tiff,
)

WriteStack: TypeAlias = Callable[[Path, Stack, Geometry, Header], None]

_NO_COLOURS: Final[Mapping[str, Colour]] = MappingProxyType({})
# As `voxel_writer.SLICE_NAME` names them.
_SLICE: Final = re.compile(r"slice_\d{4,}\.png")
# For sources that are gone.
_SUFFIXES: Final[dict[str, str]] = {
    ".png": "raster",
    ".jpg": "raster",
    ".jpeg": "raster",
    ".bmp": "raster",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "meta",
    ".mhd": "meta",
    ".dcm": "dicom",
}
# By the format of the image; a picture of none of these gives .png.
_NATIVE: Final[dict[str, str]] = {
    "nifti": ".nii.gz",
    "dicom": ".nii.gz",
    "nrrd": ".nrrd",
    "meta": ".mha",
}


def _any_image(image: Image) -> None:
    """Let every image have a mask of a format."""


def _one_slice(image: Image) -> None:
    if image.num_slices > 1:
        raise WriteError(
            f"a PNG holds one slice and this mask has {image.num_slices}; write .nii.gz, .nrrd, "
            ".mha or .tif, or .pngs for a folder of PNGs"
        )


def _any_target(path: Path) -> None:
    """Let a file that is there be replaced."""


def _only_slices(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise WriteError(f"{folder} is a file, and the slices go into a folder; choose a new name")
    other = next((one.name for one in folder.iterdir() if not _SLICE.fullmatch(one.name)), None)
    if other is not None:
        raise WriteError(
            f"{folder} holds {other}, which is no slice of a mask, and would be replaced with all "
            "that is in it; choose a new name"
        )


def _voxels(write: WriteStack) -> Callable[[Path, MaskExport], None]:
    """Let a writer of arrays write the merged labels."""

    def write_merged(path: Path, export: MaskExport) -> None:
        text = pack_names(export.merged.names, export.colours)
        header = Header(text, palette_of(export))
        write(path, export.stack, export.image.geometry, header)

    return write_merged


@dataclass(frozen=True)
class MaskFormat:
    """How masks of one format are written.

    The first suffix names files of the format when nobody else does. `check` raises WriteError for
    an image whose masks it cannot hold, `check_target` for a path that must not be replaced.
    `publish` makes what `write` wrote whole or not there. What holds overlaps loses nothing where
    labels overlap.
    """

    suffixes: tuple[str, ...]
    write: Callable[[Path, MaskExport], None]
    check: Callable[[Image], None] = _any_image
    holds_overlaps: bool = False
    check_target: Callable[[Path], None] = _any_target
    publish: Callable[[Path, Callable[[Path], None]], None] = write_durably


# Masks of one file each.
MASK_FORMATS: Final[dict[str, MaskFormat]] = {
    "png": MaskFormat((".png",), _voxels(write_indexed_png), _one_slice),
    "tiff": MaskFormat((".tif", ".tiff"), _voxels(write_tiff)),
    "nifti": MaskFormat((".nii.gz", ".nii"), _voxels(write_nifti)),
    "nrrd": MaskFormat((".nrrd",), _voxels(write_itk)),
    "mha": MaskFormat((".mha",), _voxels(write_itk)),
    "dicom-seg": MaskFormat((".dcm",), write_binary_seg, check_seg_source, holds_overlaps=True),
    "dicom-labelmap": MaskFormat((".labelmap.dcm", ".dcm"), write_label_map_seg, check_seg_source),
    "rtstruct": MaskFormat(
        (".rtstruct.dcm", ".dcm"), write_rtstruct, check_contour_source, holds_overlaps=True
    ),
    "coco": MaskFormat((".json",), write_coco, holds_overlaps=True),
}
# Masks of which each is a folder of files.
FOLDER_FORMATS: Final[dict[str, MaskFormat]] = {
    "png-stack": MaskFormat(
        (".pngs",),
        _voxels(write_png_stack),
        check_target=_only_slices,
        publish=write_folder_durably,
    ),
}
_EVERY_FORMAT: Final[dict[str, MaskFormat]] = {**MASK_FORMATS, **FOLDER_FORMATS}
# A suffix that several formats share stands for the first of them.
MASK_SUFFIXES: Final[dict[str, str]] = {
    suffix: next(name for name, other in _EVERY_FORMAT.items() if suffix in other.suffixes)
    for chosen in _EVERY_FORMAT.values()
    for suffix in chosen.suffixes
}
PROBABILITY_WRITERS: Final[dict[str, WriteStack]] = {
    ".nii": write_nifti,
    ".nii.gz": write_nifti,
    ".nrrd": write_itk,
    ".mha": write_itk,
}


def write_mask(
    path: Path | str,
    labels: LabelMap | Labels,
    like: Image,
    *,
    format: str | None = None,
    priority: tuple[str, ...] = (),
    colours: Mapping[str, Colour] = _NO_COLOURS,
    algorithm: Algorithm | None = None,
    deidentify: Deidentifier | None = None,
) -> LabelMap:
    """Write labels on the grid of `like`, with their names and colours; return what was written.

    A key of MASK_FORMATS or FOLDER_FORMATS, or else the suffix, chooses the format: .png (indexed;
    16-bit grey above 255 labels; pictures only), .pngs (a folder of these, a slice each), .tif,
    .nii, .nii.gz, .nrrd, .mha, .dcm (DICOM-SEG), .labelmap.dcm, .rtstruct.dcm, .json (COCO).
    DICOM-SEG, RTSTRUCT and COCO keep overlaps, all others merge
    `Labels` by `Labels.to_map` with `priority`; `dropped` of the result says what was lost.

    Args:
        path: the file; one that is there is replaced. A folder of slices is, one that holds
            anything else is not.
        labels: planes, or an integer map that was merged before.
        like: the image; DICOM formats refer to the files it was read from.
        format: the format, where the suffix does not say it.
        priority: labels that win where they overlap, first before second.
        colours: red, green, blue by label name; a label without one takes that of the palette.
        algorithm: what made the mask; DICOM formats say so.
        deidentify: leave out who the image is of: DICOM formats by the basic profile of the
            standard, COCO the name of the image's file; the others say nothing about it.

    Raises:
        WriteError: an unknown format, an image whose masks the format cannot hold (a volume as PNG,
            RTSTRUCT of a PNG image), a folder of other files, or the disk refuses.
        GeometryError: the labels have another shape than the image, or the image's DICOM files
            have changed.
        LabelError: there is no label, or a name or colour that the format cannot hold.
    """
    path = Path(path)
    chosen = choose_format(path, format)
    export = prepare_export(
        labels,
        like,
        priority=priority,
        colours=colours,
        algorithm=algorithm,
        deidentify=deidentify,
    )
    chosen.check(like)
    chosen.check_target(path)
    chosen.publish(path, lambda temporary: chosen.write(temporary, export))
    merged = export.merged
    if not chosen.holds_overlaps:
        return merged
    return LabelMap(merged.array, merged.names, dict.fromkeys(merged.names.values(), 0))


def choose_format(path: Path, name: str | None = None) -> MaskFormat:
    """Return the format of a mask file by name, or else by the longest suffix that fits.

    Raises:
        WriteError: an unknown format, or a suffix that is not one of its own.

    >>> choose_format(Path("liver.rtstruct.dcm")) is MASK_FORMATS["rtstruct"]
    True
    """
    known = tuple(MASK_SUFFIXES) if name is None else format_named(name).suffixes
    suffix = suffix_of(path, known)
    if suffix is None:
        raise WriteError(_unknown_suffix(path, name, known))
    return _EVERY_FORMAT[name or MASK_SUFFIXES[suffix]]


def format_named(name: str) -> MaskFormat:
    """Return the format of masks of a name, whether of one file or of a folder.

    Raises:
        WriteError: there is none.
    """
    if name not in _EVERY_FORMAT:
        raise WriteError(f"there is no format {name!r}; choose {', '.join(_EVERY_FORMAT)}")
    return _EVERY_FORMAT[name]


def suffix_of(path: Path, known: tuple[str, ...]) -> str | None:
    """Return the longest of the known suffixes that a file name ends with, None without one.

    >>> suffix_of(Path("scan.NII.gz"), (".gz", ".nii.gz"))
    '.nii.gz'
    """
    name = path.name.lower()
    return max((suffix for suffix in known if name.endswith(suffix)), key=len, default=None)


def write_probability(
    path: Path | str, probability: Float32[np.ndarray, "..."], like: Image
) -> None:
    """Write a probability map as float32 on the grid of `like`: .nii, .nii.gz, .nrrd or .mha.

    Raises:
        WriteError: another suffix, or the disk refuses.
        GeometryError: the map has another shape than the image.
    """
    path = Path(path)
    suffix = suffix_of(path, tuple(PROBABILITY_WRITERS))
    if suffix is None:
        raise WriteError(_unknown_suffix(path, None, tuple(PROBABILITY_WRITERS)))
    if probability.shape != like.shape:
        raise GeometryError(
            f"the map has shape {probability.shape} but its image has shape {like.shape}; "
            "both must lie on the same grid, resample the map first"
        )
    write = PROBABILITY_WRITERS[suffix]
    stack = probability[None] if like.is_planar else probability
    write_durably(path, lambda temporary: write(temporary, stack, like.geometry, Header()))


def write_png(path: Path | str, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a colour picture.

    Raises:
        WriteError: the disk refuses.
    """
    picture = Pillow.fromarray(np.ascontiguousarray(rgb))
    write_durably(Path(path), lambda temporary: picture.save(temporary, format="PNG"))


def default_mask_suffix(image: Image) -> str:
    """Return the suffix of masks in the image's own format.

    A picture gives .png, TIFF volumes and folders of pictures .tif, NRRD .nrrd, MetaImage .mha;
    NIfTI, DICOM and arrays with more than one slice give .nii.gz. The content of the source decides
    while it exists.

    >>> default_mask_suffix(Image.from_array(np.zeros((4, 6), np.uint8)))
    '.png'
    """
    kind = _source_format(image.source)
    if kind in _NATIVE:
        return _NATIVE[kind]
    if kind is None and (image.geometry.is_physical or not image.is_planar):
        return ".nii.gz"
    return ".png" if image.is_planar else ".tif"


def _unknown_suffix(path: Path, name: str | None, known: tuple[str, ...]) -> str:
    listed = ", ".join(known)
    if name is not None:
        return f"cannot write {path} as {name}; let its name end in {' or '.join(known)}"
    is_jpeg = path.name.lower().endswith((".jpg", ".jpeg"))
    reason = "JPEG does not keep label numbers" if is_jpeg else "not known"
    written = path.suffix or "a file without suffix"
    return f"cannot write {path} as {written} ({reason}); choose {listed}"


def _source_format(source: Path | None) -> str | None:
    """Return the format of a source file, None without one; a folder of pictures is a stack."""
    if source is None:
        return None
    if source.is_dir():
        return "dicom" if holds_dicom(source) else "tiff"
    try:
        return recognise(source)
    except ImageReadError:
        name = source.name.lower()
        return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)
