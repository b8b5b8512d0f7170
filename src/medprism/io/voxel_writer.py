"""Arrays of one value a voxel on their grid: PNG, TIFF, NIfTI, NRRD and MetaImage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import nibabel as nib
import numpy as np
import SimpleITK
import tifffile
from jaxtyping import Shaped, UInt8
from nibabel.nifti1 import Nifti1Extension
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from medprism.core.errors import WriteError
from medprism.core.geometry import Geometry
from medprism.io.lps import swap_index_order, swap_world
from medprism.io.mask_file import KEY
from medprism.io.palette import PALETTE

# Neither library annotates its functions.
_sitk: Final[Any] = SimpleITK
_NiftiKind: TypeAlias = Any

Stack = Shaped[np.ndarray, "slices height width"]

# Numbered from 0 as slices are everywhere here.
SLICE_NAME: Final = "slice_{:04d}.png"
_COMMENT: Final = 6
_LABELS_INTENT: Final = 1002
_NIFTI1_LIMIT: Final = 32767
# MetaImage readers give up on lines longer than this.
_META_LINE: Final = 30_000
# Cosine below which two axes count as orthogonal: 0.005 voxels on 512.
_ORTHOGONAL: Final = 1e-5


@dataclass(frozen=True, eq=False)
class Header:
    """What a file says beside its voxels: our document of names, and the colour of each number."""

    text: str = ""
    palette: UInt8[np.ndarray, "256 3"] = field(default_factory=PALETTE.copy)


def write_indexed_png(path: Path, stack: Stack, geometry: Geometry, header: Header) -> None:
    """Write one slice: indexed with the labels' colours, 16-bit grey above 255 labels.

    Raises:
        WriteError: more than one slice.
    """
    if stack.shape[0] > 1:
        raise WriteError(
            f"a PNG holds one slice and this mask has {stack.shape[0]}; write .nii.gz, .nrrd, "
            ".mha or .tif, or .pngs for a folder of PNGs"
        )
    _save_png(path, stack[0], header)


def write_png_stack(folder: Path, stack: Stack, geometry: Geometry, header: Header) -> None:
    """Write one PNG a slice into a folder that is there, each as `write_indexed_png` does."""
    for number, plane in enumerate(stack):
        _save_png(folder / SLICE_NAME.format(number), plane, header)


def _save_png(path: Path, plane: Shaped[np.ndarray, "height width"], header: Header) -> None:
    text = PngInfo()
    text.add_text(KEY, header.text)
    picture = Pillow.fromarray(np.ascontiguousarray(plane))
    if plane.dtype == np.uint8:
        picture.putpalette(header.palette.tobytes())
    picture.save(path, format="PNG", pnginfo=text)


def write_tiff(path: Path, stack: Stack, geometry: Geometry, header: Header) -> None:
    """Write one page a slice, indexed as the PNG is."""
    is_indexed = stack.dtype == np.uint8
    with tifffile.TiffWriter(path) as file:
        for number, plane in enumerate(stack):
            file.write(
                plane,
                photometric="palette" if is_indexed else "minisblack",
                colormap=header.palette.T.astype(np.uint16) * 257 if is_indexed else None,
                compression="zlib",
                description=header.text if number == 0 else None,
                metadata=None,
            )


def write_nifti(path: Path, stack: Stack, geometry: Geometry, header: Header) -> None:
    """Write NIfTI-1, or NIfTI-2 where an axis needs it; .gz compresses."""
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
    if header.text:
        image.header.set_intent(_LABELS_INTENT)
        image.header.extensions.append(Nifti1Extension(_COMMENT, header.text.encode("ascii")))
    nib.save(image, path)


def write_itk(path: Path, stack: Stack, geometry: Geometry, header: Header) -> None:
    """Write NRRD or MetaImage, by suffix.

    Raises:
        WriteError: more label names than an .mha header holds.
    """
    is_meta = path.suffix.lower() == ".mha"
    if is_meta and len(header.text) > _META_LINE:
        raise WriteError(
            f"the label names take {len(header.text)} bytes and an .mha header holds {_META_LINE}; "
            "write .nrrd or .nii.gz"
        )
    lps = swap_index_order(swap_world(geometry.affine))
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = _sitk.GetImageFromArray(np.ascontiguousarray(stack))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    if header.text:
        image.SetMetaData(KEY, header.text)
    try:
        _sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _is_sheared(geometry: Geometry) -> bool:
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _ORTHOGONAL)
