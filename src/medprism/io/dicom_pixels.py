"""The pixels of one DICOM object as they are meant: decoded, rescaled, black is zero, RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from jaxtyping import Shaped, UInt8
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array

from medprism.core.errors import ImageReadError
from medprism.io.foreign import first_line
from medprism.io.isolated_decoder import IsolatedDecoder
from medprism.io.jpeg_stream import stream_size
from medprism.io.memory_budget import check_unpacked

# pydicom finds its elements by attribute at run time.
Dataset: TypeAlias = Any
Frames = Shaped[np.ndarray, "frames height width channels"]

# A frame of one colour can be packed far better than deflate; beyond this it is damage.
_PACKING_LIMIT: Final = 5000
_FREE_BYTES: Final = 1 << 28
# Which decoder a compression goes to; what is not listed needs none but pydicom itself.
_PLUGINS: Final[dict[str, str]] = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    **dict.fromkeys(uid.JPEG2000TransferSyntaxes, "pylibjpeg"),
}
_ISOLATED: Final = (
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
)

NO_IMAGES: Final = {
    "SEG": "a DICOM segmentation",
    "RTDOSE": "a radiotherapy dose",
    "RTSTRUCT": "a set of radiotherapy contours",
    "RTPLAN": "a radiotherapy plan",
    "SR": "a structured report",
}


def why_no_image(dataset: Dataset) -> str | None:
    """Return what a DICOM object is if it is no image to segment, None if it is one."""
    other = NO_IMAGES.get(str(dataset.get("Modality", "")))
    if other is not None:
        return f"it is {other}, not an image; choose the image it belongs to"
    if not dataset.get("Rows") or not dataset.get("Columns"):
        return "it holds no picture (no Rows and Columns); choose another file"
    return None


def frames_of(dataset: Dataset, decoder: IsolatedDecoder) -> Frames:
    """Return all frames of an object, after the modality's scale.

    Whole-number scales give whole numbers, others float32. MONOCHROME1 is turned so that zero is
    black; palette and YBR become RGB. Call it inside `decoding`; the object must come from a file.

    Raises:
        ImageReadError: no pixels, or more pixels than the file can hold.
    """
    stored = stored_frames(dataset, decoder)
    count, samples = stored.shape[0], stored.shape[3]
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return _looked_up(stored, dataset)
    if samples == 3:
        return stored
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        stored = _turned(stored, dataset)
    if "ModalityLUTSequence" in dataset:
        return np.asarray(apply_modality_lut(stored, dataset))
    return np.concatenate([_rescaled(stored[n : n + 1], dataset, n) for n in range(count)])


def stored_frames(dataset: Dataset, decoder: IsolatedDecoder) -> Frames:
    """Return all frames of an object as they are stored, only decoded; see `frames_of`.

    Raises:
        ImageReadError: no pixels, or more pixels than the file can hold.
    """
    count, height, width, samples = _layout(dataset)
    _check_promise(dataset, count * height * width * samples)
    stored = _decoded(dataset, decoder).reshape(count, height, width, samples)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def functional_group(dataset: Dataset, frame: int, name: str) -> Dataset | None:
    """Return the settings under `name` of one frame of an enhanced object: its own or shared."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in (*own[frame : frame + 1], *shared[:1]):
        inner = group.get(name)
        if inner:
            return inner[0]
    return None


def num_frames(dataset: Dataset) -> int:
    """Return the number of frames; 1 where the object does not say.

    Raises:
        ImageReadError: the number is below 1.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    if count < 1:
        raise ImageReadError(f"it says that it has {count} frames; it is damaged, export it again")
    return count


def _layout(dataset: Dataset) -> tuple[int, int, int, int]:
    samples = int(dataset.get("SamplesPerPixel", 1))
    if samples not in (1, 3):
        raise ImageReadError(
            f"it has {samples} samples a pixel; 1 (grey) or 3 (colour) can be read"
        )
    return num_frames(dataset), int(dataset.Rows), int(dataset.Columns), samples


def _check_promise(dataset: Dataset, samples: int) -> None:
    length = len(dataset.get("PixelData") or b"")
    promised = samples * int(dataset.BitsAllocated) // 8
    if length and promised > max(_FREE_BYTES, length * _PACKING_LIMIT):
        raise ImageReadError(
            f"its header promises {promised} bytes of pixels but it holds {length}; "
            "it is damaged, export it again"
        )
    if length:
        check_unpacked(promised, length)


def _decoded(dataset: Dataset, decoder: IsolatedDecoder) -> np.ndarray:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax in _ISOLATED or syntax in _PLUGINS:
        _check_streams(dataset)
    try:
        if syntax in _ISOLATED:
            return decoder.decode(Path(dataset.filename))
        return np.asarray(pixel_array(dataset, decoding_plugin=_PLUGINS.get(syntax, "")))
    except RuntimeError as error:
        raise ImageReadError(
            f"its compression ({getattr(syntax, 'name', syntax)}) cannot be decoded "
            f"({first_line(error)}); convert it to an uncompressed or lossless file"
        ) from error


def _check_streams(dataset: Dataset) -> None:
    """Compare what each compressed frame says of itself with the DICOM header."""
    wanted = (int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel", 1)))
    allocated = int(dataset.BitsAllocated)
    for frame in generate_frames(dataset.PixelData, number_of_frames=num_frames(dataset)):
        found = stream_size(frame)
        depth = 8 if found.precision <= 8 else 16
        if (found.height, found.width, found.samples) != wanted or depth > allocated:
            raise ImageReadError(
                f"its header says {wanted[0]} x {wanted[1]} pixels, {wanted[2]} samples of "
                f"{allocated} bits, but its compressed pixels are {found.height} x {found.width}, "
                f"{found.samples} samples of {found.precision} bits; it is damaged, export it again"
            )


def _looked_up(stored: Frames, dataset: Dataset) -> UInt8[np.ndarray, "frames height width 3"]:
    colours = np.asarray(apply_color_lut(stored[..., 0], dataset))[..., :3]
    # Tables of 16-bit entries hold display colours: their upper byte is the colour.
    is_deep = colours.dtype == np.uint16 and bool((colours > 255).any())
    return (colours >> 8 if is_deep else colours).astype(np.uint8)


def _turned(stored: Frames, dataset: Dataset) -> Frames:
    top = -1 if dataset.get("PixelRepresentation") else 2 ** int(dataset.BitsStored) - 1
    return _narrowest(top - stored.astype(np.int64), stored.dtype)


def _rescaled(stored: Frames, dataset: Dataset, frame: int) -> Frames:
    group = functional_group(dataset, frame, "PixelValueTransformationSequence")
    source = dataset if group is None else group
    slope, intercept = (
        float(source.get(name) if source.get(name) is not None else default)
        for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if (slope, intercept) == (1.0, 0.0):
        return stored
    if not slope.is_integer() or not intercept.is_integer() or stored.dtype.kind == "f":
        return (stored * slope + intercept).astype(np.float32)
    if abs(slope) + abs(intercept) > 2**31:
        raise ImageReadError(
            f"its rescale slope {slope:g} or intercept {intercept:g} cannot be meant; "
            "export it again"
        )
    return _narrowest(stored.astype(np.int64) * int(slope) + int(intercept), np.dtype(np.int16))


def _narrowest(values: Shaped[np.ndarray, "..."], wanted: np.dtype[Any]) -> np.ndarray:
    """Return whole numbers as `wanted` where they fit, else as int32 or int64."""
    low, high = int(values.min()), int(values.max())
    for dtype in (wanted, np.dtype(np.int32)):
        bounds = np.iinfo(dtype)
        if bounds.min <= low and high <= bounds.max:
            return values.astype(dtype)
    return values
