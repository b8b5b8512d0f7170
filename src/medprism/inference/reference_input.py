"""What callers hand in as images and as references: paths, arrays or values of ours."""

from __future__ import annotations

import reprlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import GeometryError, ImageReadError, ReferencePairError
from medprism.core.image import Image
from medprism.inference.placement import Given, place_mask_like
from medprism.inference.reference_bank import Provenance, Reference
from medprism.io.reader import read_image, read_mask


def to_image(given: Given) -> Image:
    """Return an image from a path, an array or an `Image`; arrays are copied.

    Raises:
        ImageReadError: none of these, a file or array that holds no image, or one of single pixels.
    """
    if isinstance(given, Image):
        return _with_structure(given)
    if isinstance(given, str | Path):
        return _with_structure(read_image(Path(given)))
    try:
        array = np.asarray(given).copy()
    except (ValueError, TypeError, RuntimeError) as error:
        raise ImageReadError(
            f"image is {reprlib.repr(given)}; give a path, an array or an Image"
        ) from error
    # Encodings are kept by the content's hash, so it must not change behind their back.
    array.flags.writeable = False
    return _with_structure(Image.from_array(array))


def to_references(
    images: Given, masks: Given, label: str, author: str, *, resample: bool = False
) -> tuple[Reference, ...]:
    """Pair images with masks, one by one; a single pair needs no lists.

    Raises:
        ReferencePairError: not as many masks as images, a mask of another size or without
            foreground, or a mask file whose labels do not tell which one is meant.
        ImageReadError: a file that cannot be read.
    """
    listed_images, listed_masks = _listed(images), _listed(masks)
    if len(listed_images) != len(listed_masks):
        raise ReferencePairError(
            f"{len(listed_images)} reference images but {len(listed_masks)} masks; "
            "give one mask for each image"
        )
    pairs = zip(listed_images, listed_masks, strict=True)
    return tuple(
        to_reference(image, mask, label, author, resample=resample) for image, mask in pairs
    )


def to_reference(
    image: Given, mask: Given, label: str, author: str = "", *, resample: bool = False
) -> Reference:
    """Pair an image with its finished mask.

    An array is inside where it is not zero. A mask file may hold several labels: the one named
    like `label` is taken, or the only one there is. With `resample` a mask file on another grid is
    brought onto that of the image.

    Raises:
        ReferencePairError: a mask of another size, without foreground, or of several labels none
            of which is meant.
    """
    read = to_image(image)
    if isinstance(mask, str | Path):
        inside = _from_file(Path(mask), read, label, resample=resample)
    else:
        try:
            planes = place_mask_like(read, mask, None, "reference mask")
        except GeometryError as error:
            raise ReferencePairError(str(error)) from error
        inside = np.asarray(read.from_stack(np.stack([planes[i] for i in sorted(planes)])))
    source = None if read.source is None else str(read.source)
    return Reference.from_pair(read, inside, Provenance(source=source, author=author))


def _with_structure(image: Image) -> Image:
    if image.geometry.shape[1:] == (1, 1):
        raise ImageReadError(
            f"{image.source or 'the image'} has 1 x 1 pixels, in which there is nothing to tell "
            "apart; give one of at least two pixels"
        )
    return image


def _from_file(path: Path, image: Image, label: str, *, resample: bool) -> Bool[np.ndarray, "..."]:
    try:
        mask = read_mask(path, like=image, resample=resample)
    except GeometryError as error:
        raise ReferencePairError(str(error)) from error
    numbers = np.unique(mask.array[mask.array > 0]).tolist()
    named = [number for number in numbers if mask.names.get(number) == label]
    if not named and len(numbers) > 1:
        listed = ", ".join(mask.names.get(number, str(number)) for number in numbers[:8])
        raise ReferencePairError(
            f"reference mask {path} holds several labels ({listed}) and none is named {label!r}; "
            "pass the one you mean as an array"
        )
    return np.asarray(np.isin(mask.array, named or numbers))


def _listed(given: Given) -> list[Given]:
    if isinstance(given, str | Path | Image) or (isinstance(given, np.ndarray) and given.ndim < 3):
        return [given]
    if isinstance(given, list | tuple | np.ndarray):
        return list(given)
    raise ReferencePairError(
        f"{reprlib.repr(given)} is no list of references; give a list of paths, arrays or images"
    )
