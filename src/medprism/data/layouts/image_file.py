"""Bring an image into another file: copied where the format stays, else converted without loss."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from jaxtyping import Shaped
from PIL import Image as Pillow

from medprism.core.durable import write_durably
from medprism.core.errors import GeometryError, WriteError
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.data.layouts.collection import ChannelFile
from medprism.io.lps import swap_index_order
from medprism.io.voxel_writer import Header, write_nifti

_nib: Final[Any] = nibabel
_COLOUR: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
SUFFIXES: Final = (
    ".nii.gz",
    ".nii",
    ".nrrd",
    ".mha",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
)


def suffix_of(path: Path | str) -> str:
    """Return the suffix of an image file in lower case; .nii.gz is one suffix.

    >>> suffix_of("a.b.NII.gz"), suffix_of("a.png")
    ('.nii.gz', '.png')
    """
    name = Path(path).name.casefold()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), Path(name).suffix)


def is_coloured(sources: Sequence[ChannelFile]) -> bool:
    """Say whether an image is one file of three colours.

    Raises:
        ImageReadError: the file cannot be read.
    """
    return len(sources) == 1 and sources[0].part is None and sources[0].read().is_rgb


def bring_image(
    sources: Sequence[ChannelFile], target: Path, *, splits_colours: bool = False
) -> None:
    """Write the channels of an image into one file: NIfTI, or PNG for a picture.

    A single file of the target's suffix is copied byte by byte.

    Raises:
        GeometryError: the channels lie on different grids.
        WriteError: the target's format cannot hold the image.
        ImageReadError: a source cannot be read.
    """
    suffix = suffix_of(target)
    is_same = len(sources) == 1 and sources[0].part is None and not splits_colours
    if is_same and suffix_of(sources[0].path) == suffix:
        write_durably(target, lambda temporary: _copy(sources[0].path, temporary))
        return
    images = [source.read() for source in sources]
    _check_one_grid(sources, images)
    if suffix in (".nii.gz", ".nii"):
        write_durably(target, lambda temporary: _write_nifti(temporary, images, splits_colours))
    elif suffix == ".png" and len(images) == 1:
        write_durably(target, lambda temporary: _write_png(temporary, _whole_picture(images[0])))
    else:
        raise WriteError(
            f"cannot write {len(images)} channels of {sources[0].path} as {target.name}; convert "
            "the images to NIfTI or PNG first"
        )


def bring_slices(source: ChannelFile, folder: Path, name: str) -> tuple[str, ...]:
    """Write the slices of a volume as 8-bit PNG by its intensity rule; return their names.

    `name` holds `{slice}`. A picture is one slice.

    Raises:
        ImageReadError: the source cannot be read.
    """
    image = source.read()
    bounds = choose_rule(image).bounds(image)
    names: list[str] = []
    for index, plane in enumerate(image.voxels):
        pixels = np.rint(to_eight_bit_range(plane, bounds)).astype(np.uint8)
        names.append(name.replace("{slice}", f"{index:04d}"))
        write_durably(folder / names[-1], partial(_write_png, plane=pixels))
    return tuple(names)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _check_one_grid(sources: Sequence[ChannelFile], images: Sequence[Image]) -> None:
    for source, image in zip(sources, images, strict=True):
        if not image.geometry.matches(images[0].geometry):
            raise GeometryError(
                f"{source.path} lies on {image.geometry.describe()} but {sources[0].path} on "
                f"{images[0].geometry.describe()}; channels of an image share their grid"
            )


def _write_nifti(path: Path, images: Sequence[Image], splits_colours: bool) -> None:
    image = images[0]
    planes = [one.voxels for one in images]
    if len(images) == 1 and not (splits_colours and image.is_rgb):
        stack = _colours(planes[0]) if image.is_rgb else planes[0][..., 0]
        write_nifti(path, stack, image.geometry, Header())
        return
    # NIfTI's axes are ours backwards, channels last.
    voxels = np.concatenate(planes, axis=3).transpose(2, 1, 0, 3)
    affine = swap_index_order(image.geometry.affine)
    made = _nib.Nifti1Image(np.ascontiguousarray(voxels), affine)
    made.header.set_xyzt_units("mm")
    _nib.save(made, path)


def _colours(
    voxels: Shaped[np.ndarray, "slices height width 3"],
) -> Shaped[np.ndarray, "slices height width"]:
    if voxels.dtype != np.uint8:
        raise WriteError(
            f"a colour image of {voxels.dtype} does not fit into NIfTI, which holds 8 bits a "
            "colour; convert it first"
        )
    coloured: np.ndarray = np.zeros(voxels.shape[:3], _COLOUR)
    for channel, name in enumerate("RGB"):
        coloured[name] = voxels[..., channel]
    return coloured


def _whole_picture(image: Image) -> Shaped[np.ndarray, "height width channels"]:
    kinds = (np.uint8,) if image.is_rgb else (np.uint8, np.uint16)
    if not image.is_planar or image.voxels.dtype not in kinds:
        raise WriteError(
            f"{image.source} has {image.num_slices} slices of {image.voxels.dtype}; a PNG holds "
            "one, of 8 or 16 bit grey or 8 bit colour"
        )
    picture: np.ndarray = image.voxels[0]
    return picture


def _write_png(path: Path, plane: Shaped[np.ndarray, "height width channels"]) -> None:
    pixels = plane if plane.shape[2] == 3 else plane[..., 0]
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(path, format="PNG")
