"""A folder of pictures as a volume: PNG, JPEG, BMP or TIFF slices, by the number in their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from medprism.core.errors import ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.foreign import decoding
from medprism.io.mask_file import MaskFile
from medprism.io.raster import read_raster, read_raster_mask
from medprism.io.recognise import recognise
from medprism.io.tiff import read_tiff, read_tiff_mask

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_NUMBER: Final = re.compile(r"\d+")

_Slice = TypeVar("_Slice", Image, MaskFile)


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures directly inside a folder, by suffix and name; hidden files are none."""
    with decoding("a folder"):
        return sorted(
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES
            and entry.is_file()
            and not entry.name.startswith(".")
        )


def read_picture_folder(folder: Path) -> Image:
    """Read all pictures of a folder as the slices of one volume that knows no spacing.

    Raises:
        ImageReadError: no picture, names that give no order or leave a slice out, or slices of
            different size, colour or type.
    """
    slices = _read_each(_in_order(list_pictures(folder)), read_raster, read_tiff)
    voxels = [image.voxels for _, image in slices]
    _check_alike([(path, image.voxels) for path, image in slices])
    stack = np.concatenate(voxels)
    shape = (stack.shape[0], stack.shape[1], stack.shape[2])
    return Image(stack, Geometry.pixels(shape), is_planar=shape[0] == 1)


def read_picture_folder_mask(folder: Path) -> MaskFile:
    """Read label numbers of all pictures of a folder; names and colours are those of the first.

    Raises:
        ImageReadError: as `read_picture_folder`, or values that are no label numbers.
    """
    slices = _read_each(_in_order(list_pictures(folder)), read_raster_mask, read_tiff_mask)
    _check_alike([(path, mask.array) for path, mask in slices], with_type=False)
    stack = np.stack([mask.array for _, mask in slices])
    first = slices[0][1]
    for path, mask in slices:
        if dict(mask.names) != dict(first.names):
            raise ImageReadError(
                f"{path.name} names its labels otherwise than {slices[0][0].name}; give the same "
                "number the same name in every slice"
            )
    shape = (stack.shape[0], stack.shape[1], stack.shape[2])
    array = stack[0] if shape[0] == 1 else stack
    return MaskFile(array, Geometry.pixels(shape), first.names, first.colours)


def _in_order(paths: Sequence[Path]) -> list[Path]:
    """Return pictures by the one number in which their names differ, which must have no gap."""
    if not paths:
        raise ImageReadError(f"it holds no picture ({', '.join(SUFFIXES)})")
    if len(paths) == 1:
        return list(paths)
    split = [(_NUMBER.split(path.stem), _NUMBER.findall(path.stem)) for path in paths]
    texts = {tuple(text) for text, _ in split}
    counts = [[int(number) for number in numbers] for _, numbers in split]
    table = np.array(counts if len(texts) == 1 else [[]])
    moving = np.flatnonzero((table != table[:1]).any(0)).tolist()
    if len(moving) != 1:
        raise ImageReadError(
            f"the names of its {len(paths)} pictures ({paths[0].name}, {paths[1].name}, ...) do "
            "not differ in one number alone, so they give no order of slices; number them"
        )
    numbered = sorted(zip([row[moving[0]] for row in counts], paths, strict=True))
    _check_steps(numbered)
    return [path for _, path in numbered]


def _check_steps(numbered: Sequence[tuple[int, Path]]) -> None:
    steps = np.diff([number for number, _ in numbered])
    usual = int(np.median(steps))
    for step, (_, before), (_, after) in zip(steps, numbered[:-1], numbered[1:], strict=True):
        if step == 0:
            raise ImageReadError(
                f"{before.name} and {after.name} have the same number; keep one of them"
            )
        if step != usual:
            raise ImageReadError(
                f"between {before.name} and {after.name} the number grows by {step} and elsewhere "
                f"by {usual}: a slice is missing; add it, or copy one gapless part into a "
                "folder of its own"
            )


def _read_each(
    paths: Sequence[Path], raster: Callable[[Path], _Slice], tiff: Callable[[Path], _Slice]
) -> list[tuple[Path, _Slice]]:
    found = []
    for path in paths:
        try:
            kind = recognise(path)
            if kind not in ("raster", "tiff"):
                raise ImageReadError(f"it is no picture but {kind}; give it its own suffix")
            part = raster(path) if kind == "raster" else tiff(path)
        except ImageReadError as error:
            raise ImageReadError(f"{path.name}: {error}") from error
        if part.geometry.shape[0] != 1:
            raise ImageReadError(
                f"{path.name} holds {part.geometry.shape[0]} slices of its own; read that file "
                "instead of the folder"
            )
        found.append((path, part))
    return found


def _check_alike(slices: Sequence[tuple[Path, np.ndarray]], *, with_type: bool = True) -> None:
    first_path, first = slices[0]
    for path, array in slices:
        if array.shape != first.shape or (with_type and array.dtype != first.dtype):
            raise ImageReadError(
                f"{path.name} is {_describe(array)} but {first_path.name} is {_describe(first)}; "
                "slices of one volume are alike, copy them into a folder of their own"
            )


def _describe(array: np.ndarray) -> str:
    return f"{' x '.join(map(str, array.shape))} of {array.dtype}"
