"""Write masks and probabilities on the image's own grid; every file is whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import nibabel as nib
import numpy as np
import SimpleITK
import tifffile
from jaxtyping import Float32, Shaped, UInt8
from nibabel.nifti1 import Nifti1Extension
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from medprism.core.durable import write_durably
from medprism.core.errors import GeometryError, ImageReadError, WriteError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.io.lps import swap_index_order, swap_world
from medprism.io.mask_file import KEY, pack_names
from medprism.io.palette import PALETTE
from medprism.io.recognise import recognise

# Neither library annotates its functions.
_sitk: Final[Any] = SimpleITK
_NiftiKind: TypeAlias = Any

Stack = Shaped[np.ndarray, "slices height width"]
WriteStack: TypeAlias = Callable[[Path, Stack, Geometry, str], None]

_COMMENT: Final = 6
_LABELS_INTENT: Final = 1002
_NIFTI1_LIMIT: Final = 32767
# MetaImage readers give up on lines longer than this.
_META_LINE: Final = 30_000
# Cosine below which two axes count as orthogonal: 0.005 voxels on 512.
_ORTHOGONAL: Final = 1e-5
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


def write_mask(path: Path | str, labels: LabelMap | Labels, like: Image) -> None:
    """Write labels as one integer map on the grid of `like`, with their names inside the file.

    The suffix chooses the format: .png (indexed with `palette.PALETTE`; 16-bit grey above 255
    labels; pictures only), .nii, .nii.gz, .nrrd, .mha, .tif. `Labels` are merged by
    `Labels.to_map` in their default priority; merge them yourself to choose another.

    Raises:
        WriteError: an unknown suffix, a volume as PNG, or the disk refuses.
        GeometryError: the labels have another shape than the image.
        LabelError: there is no label.
    """
    path = Path(path)
    write = _choose(path, MASK_WRITERS)
    label_map = labels.to_map() if isinstance(labels, Labels) else labels
    stack = _stack(label_map.array, like)
    names = pack_names(label_map.names)
    write_durably(path, lambda temporary: write(temporary, stack, like.geometry, names))


def write_probability(
    path: Path | str, probability: Float32[np.ndarray, "..."], like: Image
) -> None:
    """Write a probability map as float32 on the grid of `like`: .nii, .nii.gz, .nrrd or .mha.

    Raises:
        WriteError: another suffix, or the disk refuses.
        GeometryError: the map has another shape than the image.
    """
    path = Path(path)
    write = _choose(path, PROBABILITY_WRITERS)
    stack = _stack(probability, like)
    write_durably(path, lambda temporary: write(temporary, stack, like.geometry, ""))


def write_png(path: Path | str, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a colour picture.

    Raises:
        WriteError: the disk refuses.
    """
    picture = Pillow.fromarray(np.ascontiguousarray(rgb))
    write_durably(Path(path), lambda temporary: picture.save(temporary, format="PNG"))


def default_mask_suffix(image: Image) -> str:
    """Return the suffix of masks in the image's own format.

    A picture gives .png, TIFF volumes .tif, NRRD .nrrd, MetaImage .mha; NIfTI, DICOM and arrays
    with more than one slice give .nii.gz. The content of the source decides while it exists.

    >>> default_mask_suffix(Image.from_array(np.zeros((4, 6), np.uint8)))
    '.png'
    """
    kind = _source_format(image.source)
    if kind in _NATIVE:
        return _NATIVE[kind]
    if kind is None and (image.geometry.is_physical or not image.is_planar):
        return ".nii.gz"
    return ".png" if image.is_planar else ".tif"


def _write_png(path: Path, stack: Stack, geometry: Geometry, names: str) -> None:
    if stack.shape[0] > 1:
        raise WriteError(
            f"a PNG holds one slice and this mask has {stack.shape[0]}; write .nii.gz, .nrrd, .mha "
            "or .tif"
        )
    text = PngInfo()
    text.add_text(KEY, names)
    picture = Pillow.fromarray(np.ascontiguousarray(stack[0]))
    if stack.dtype == np.uint8:
        picture.putpalette(PALETTE.tobytes())
    picture.save(path, format="PNG", pnginfo=text)


def _write_tiff(path: Path, stack: Stack, geometry: Geometry, names: str) -> None:
    is_indexed = stack.dtype == np.uint8
    with tifffile.TiffWriter(path) as file:
        for number, plane in enumerate(stack):
            file.write(
                plane,
                photometric="palette" if is_indexed else "minisblack",
                colormap=PALETTE.T.astype(np.uint16) * 257 if is_indexed else None,
                compression="zlib",
                description=names if number == 0 else None,
                metadata=None,
            )


def _write_nifti(path: Path, stack: Stack, geometry: Geometry, names: str) -> None:
    kind: _NiftiKind = nib.Nifti1Image
    if max(stack.shape) > _NIFTI1_LIMIT:
        kind = nib.Nifti2Image
    affine = swap_index_order(geometry.affine)
    image = kind(stack.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    # The quaternion cannot hold a shear: there only the exact form is given.
    image.set_sform(affine, code=1)
    if _is_sheared(geometry):
        image.set_qform(None, code=0)
    else:
        image.set_qform(affine, code=1)
    if names:
        image.header.set_intent(_LABELS_INTENT)
        image.header.extensions.append(Nifti1Extension(_COMMENT, names.encode("ascii")))
    nib.save(image, path)


def _write_itk(path: Path, stack: Stack, geometry: Geometry, names: str) -> None:
    is_meta = path.suffix.lower() == ".mha"
    if is_meta and len(names) > _META_LINE:
        raise WriteError(
            f"the label names take {len(names)} bytes and an .mha header holds {_META_LINE}; "
            "write .nrrd or .nii.gz"
        )
    lps = swap_index_order(swap_world(geometry.affine))
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = _sitk.GetImageFromArray(np.ascontiguousarray(stack))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    if names:
        image.SetMetaData(KEY, names)
    try:
        _sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


MASK_WRITERS: Final[dict[str, WriteStack]] = {
    ".png": _write_png,
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".nii": _write_nifti,
    ".nii.gz": _write_nifti,
    ".nrrd": _write_itk,
    ".mha": _write_itk,
}
PROBABILITY_WRITERS: Final[dict[str, WriteStack]] = {
    suffix: MASK_WRITERS[suffix] for suffix in (".nii", ".nii.gz", ".nrrd", ".mha")
}


def _choose(path: Path, writers: Mapping[str, WriteStack]) -> WriteStack:
    name = path.name.lower()
    fitting = [suffix for suffix in writers if name.endswith(suffix)]
    if fitting:
        return writers[max(fitting, key=len)]
    lossy = "JPEG does not keep label numbers" if name.endswith((".jpg", ".jpeg")) else "not known"
    raise WriteError(
        f"cannot write {path} as {path.suffix or 'a file without suffix'} ({lossy}); "
        f"choose {', '.join(writers)}"
    )


def _stack(array: Shaped[np.ndarray, "..."], like: Image) -> Stack:
    if array.shape != like.shape:
        raise GeometryError(
            f"mask has shape {array.shape} but its image has shape {like.shape}; "
            "both must lie on the same grid, resample the mask first"
        )
    return array[None] if like.is_planar else array


def _is_sheared(geometry: Geometry) -> bool:
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _ORTHOGONAL)


def _source_format(source: Path | None) -> str | None:
    """Return the format of a source file, None without one; a folder is a DICOM series."""
    if source is None:
        return None
    if source.is_dir():
        return "dicom"
    try:
        return recognise(source)
    except ImageReadError:
        name = source.name.lower()
        return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)
