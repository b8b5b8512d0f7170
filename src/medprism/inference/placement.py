"""Where a caller's coordinates, boxes and masks lie on an image; everything odd is refused here."""

from __future__ import annotations

import reprlib
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from medprism.core.errors import GeometryError, LabelError, PromptError
from medprism.core.image import Image
from medprism.core.prompt import Box, Click, Mask2d

# What callers hand in is checked here, not by its type: tuples, lists, arrays, numpy numbers.
Given: TypeAlias = object

# Beyond any image, but still an exact integer after rounding.
_FAR = 2.0**40


def place_click(
    image: Image, coordinates: Given, *, is_positive: bool, world: bool = False
) -> tuple[int, Click]:
    """Return the slice and the click of a position; fractions go to the nearest voxel.

    A planar image takes (row, col), a volume (slice, row, col); with `world` both take a position
    in mm (RAS+).

    Raises:
        PromptError: not that many finite numbers, or outside the image.

    >>> place_click(Image.from_array(np.zeros((4, 6), np.uint8)), [1.2, 5], is_positive=True)
    (0, Click(row=1, col=5, is_positive=True))
    """
    if world:
        voxel = _from_world(image, coordinates)
    elif image.is_planar:
        voxel = (0, *_whole_numbers(coordinates, (2,), "a position (row, col)").tolist())
    else:
        found = _whole_numbers(coordinates, (3,), "a position (slice, row, col)").tolist()
        voxel = (found[0], found[1], found[2])
    if not all(0 <= at < length for at, length in zip(voxel, image.geometry.shape, strict=True)):
        kind = "positive" if is_positive else "negative"
        start = int(image.is_planar)
        raise PromptError(
            f"{kind} click {reprlib.repr(coordinates)} lies outside the image: "
            f"voxel {voxel[start:]} of {image.shape}; each index must be 0 or more and below "
            "the size"
        )
    return voxel[0], Click(voxel[1], voxel[2], is_positive)


def place_box(image: Image, bbox_coords: Given, *, is_positive: bool) -> tuple[int, Box]:
    """Return the slice and the box of half-open ranges [[r0, r1], [c0, c1]].

    A volume takes [[s, s + 1], [r0, r1], [c0, c1]]: boxes act on one slice.

    Raises:
        PromptError: other numbers than these, more than one slice, or outside the image.

    >>> place_box(Image.from_array(np.zeros((4, 6), np.uint8)), [[1, 3], [0, 6]], is_positive=True)
    (0, Box(top=1, left=0, bottom=3, right=6, is_positive=True))
    """
    if image.is_planar:
        rule = "a box [[row, row], [col, col]]"
        slice_index, ranges = 0, _whole_numbers(bbox_coords, (2, 2), rule).tolist()
    else:
        rule = "a box [[slice, slice + 1], [row, row], [col, col]]"
        found = _whole_numbers(bbox_coords, (3, 2), rule).tolist()
        (slice_index, stop), ranges = found[0], found[1:]
        if stop != slice_index + 1:
            raise PromptError(
                f"box covers slices [{slice_index}, {stop}); a box acts on one slice, "
                f"give [{slice_index}, {slice_index + 1}] and one box for each slice"
            )
        place_slice(image, slice_index)
    (top, bottom), (left, right) = ranges
    return slice_index, Box(top, left, bottom, right, is_positive)


def on_slice(
    image: Image, whole: Shaped[np.ndarray, "..."], slice_index: Given | None
) -> Shaped[np.ndarray, "..."]:
    """Return the part of an array like the image that lies on a slice; without one, all of it.

    Raises:
        PromptError: there is no such slice.
    """
    if slice_index is None:
        return whole
    at = place_slice(image, slice_index)
    return whole if image.is_planar else np.asarray(whole[at])


def place_mask_like(
    image: Image, given: Given, slice_index: Given | None, what: str
) -> dict[int, Mask2d]:
    """Return the planes of a mask-like array by slice; what is not zero is inside.

    The array has the shape of the image or, with `slice_index`, of one slice of a volume.

    Raises:
        GeometryError: another shape.
        PromptError: not an array of finite numbers, or a slice outside the volume.
    """
    mask = _inside(given, what)
    height, width = image.geometry.shape[1:]
    if slice_index is None:
        if mask.shape != image.shape:
            raise GeometryError(
                f"{what} has shape {mask.shape} but the image has {image.shape}; draw it on the "
                "image's own grid"
            )
        return dict(enumerate(image.to_stack(mask)))
    at = place_slice(image, slice_index)
    if mask.shape != (height, width):
        raise GeometryError(
            f"{what} has shape {mask.shape} but slice {at} of the image has {(height, width)}; "
            "draw it on the slice's own grid"
        )
    return {at: mask}


def place_drawing(
    image: Image, given: Given, slice_index: Given | None, what: str
) -> list[tuple[int, Mask2d]]:
    """Return the slices that a stroke or an outline touches, with its pixels there.

    Raises:
        GeometryError: another shape than the image, or than the slice.
        PromptError: it covers no pixel.
    """
    planes = place_mask_like(image, given, slice_index, what)
    drawn = [(index, plane) for index, plane in planes.items() if plane.any()]
    if not drawn:
        raise PromptError(f"{what} covers no pixel; draw at least one")
    return drawn


def place_slice(image: Image, slice_index: Given) -> int:
    """Return the index of a slice of the image.

    Raises:
        PromptError: not a number, or outside 0..number of slices - 1.
    """
    index = int(_whole_numbers(slice_index, (), "a slice index"))
    if not 0 <= index < image.num_slices:
        raise PromptError(
            f"slice {index} lies outside the image; it has {image.num_slices}, "
            f"0..{image.num_slices - 1}"
        )
    return index


def check_sign(include_interaction: Given) -> bool:
    """Return whether an interaction is about the structure or about what is not.

    Raises:
        PromptError: neither true nor false.
    """
    if not isinstance(include_interaction, bool | np.bool_ | int | np.integer):
        raise PromptError(
            f"include_interaction is {reprlib.repr(include_interaction)}; give True for the "
            "structure, False for what is not"
        )
    return bool(include_interaction)


def check_label(label: Given) -> str:
    """Return a usable label name.

    Raises:
        LabelError: not text, empty, or with line breaks or other control characters.

    >>> check_label(" left kidney ")
    'left kidney'
    """
    if not isinstance(label, str) or not label.strip() or not label.strip().isprintable():
        raise LabelError(
            f"label {reprlib.repr(label)} cannot be used; give a name such as 'lesion' in one line"
        )
    return label.strip()


def check_names(names: Given, what: str) -> tuple[str, ...]:
    """Return one name or a sequence of names as a tuple.

    Raises:
        LabelError: something else, or nothing at all.

    >>> check_names("liver", "classes"), check_names(["liver", "polyp"], "classes")
    (('liver',), ('liver', 'polyp'))
    """
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, list | tuple | set | frozenset) or not names:
        raise LabelError(f"{what}={reprlib.repr(names)}; give a name or a list of names")
    return tuple(check_label(name) for name in names)


def _from_world(image: Image, coordinates: Given) -> tuple[int, int, int]:
    if not image.geometry.is_physical:
        raise PromptError(
            "the image knows no spacing, so a position in mm has no place on it; "
            "give voxel indices without world=True"
        )
    position = _numbers(coordinates, (3,), "a position (x, y, z) in mm").tolist()
    fractional = image.geometry.world_to_voxel((position[0], position[1], position[2]))
    slice_index, row, col = _nearest(np.asarray(fractional)).tolist()
    return slice_index, row, col


def _whole_numbers(given: Given, shape: tuple[int, ...], rule: str) -> Int64[np.ndarray, "..."]:
    return _nearest(_numbers(given, shape, rule))


def _nearest(numbers: Shaped[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
    return np.asarray(np.floor(np.clip(numbers, -_FAR, _FAR) + 0.5), dtype=np.int64)


def _numbers(given: Given, shape: tuple[int, ...], rule: str) -> Shaped[np.ndarray, "..."]:
    array = _as_array(given)
    if array is None or array.dtype.kind not in "iuf" or array.shape != shape:
        raise PromptError(f"{reprlib.repr(given)} is not {rule}; give it as numbers in this form")
    if not np.isfinite(array).all():
        raise PromptError(f"{reprlib.repr(given)} holds a number that is not finite; give {rule}")
    return array.astype(np.float64)


def _inside(given: Given, what: str) -> Bool[np.ndarray, "..."]:
    array = _as_array(given)
    if array is None or array.dtype.kind not in "biuf":
        raise PromptError(f"{what} is {reprlib.repr(given)}; give an array of 0 and 1 (or bool)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise PromptError(f"{what} holds values that are not finite; give an array of 0 and 1")
    return np.asarray(array != 0)


def _as_array(given: Given) -> Shaped[np.ndarray, "..."] | None:
    """Return anything array-like as an array; None where numpy cannot."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        return None
