"""The work file: prompt log, masks, references and image of a session as one JSON document."""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import read_json, write_json
from medprism.core.errors import (
    FormatVersionError,
    GeometryError,
    ImageReadError,
    LabelError,
    PromptError,
)
from medprism.core.image import Image
from medprism.inference.annotation import Annotation, SliceResult
from medprism.inference.event_format import (
    event_from_json,
    event_to_json,
    need,
    plane_from_json,
    plane_to_json,
)
from medprism.inference.image_record import EMBED_BYTES, image_from_json, image_to_json
from medprism.inference.prompt_log import Event, PromptLog
from medprism.inference.reference_bank import Provenance, Reference, ReferenceBank
from medprism.inference.zoom import ZoomSettings

FORMAT: Final = "medprism-work"
VERSION: Final = 1

Json = dict[str, Any]
Results = Mapping[str, Mapping[int, SliceResult]]

_DAMAGE = (
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    binascii.Error,
    zlib.error,
    LabelError,
    GeometryError,
    PromptError,
)


@dataclass(frozen=True, eq=False)
class Work:
    """What a work file holds.

    `root` are the references before the first event, `library` all that the log names, `results`
    the masks at the log's pointer.
    """

    model_name: str
    long_side: int
    zoom: ZoomSettings | None
    image: Image
    library: Mapping[str, Reference]
    root: ReferenceBank
    log: PromptLog
    results: Results


def results_of(annotation: Annotation) -> Results:
    """Return the results of an annotation, by label and slice."""
    return {
        name: {index: one.result for index, one in state.slices.items() if one.result is not None}
        for name, state in annotation.labels.items()
    }


def write_work(path: Path, work: Work, embed_bytes: int = EMBED_BYTES) -> None:
    """Write a work file durably; images of references up to `embed_bytes` with their pixels.

    Raises:
        WriteError: the disk is full or the folder not writable; an older file stays as it was.
    """
    images = {work.image.digest: image_to_json(work.image, path.parent, embed=False)}
    for reference in work.library.values():
        image = reference.image
        if image.digest not in images:
            embed = image.voxels.nbytes <= embed_bytes
            images[image.digest] = image_to_json(image, path.parent, embed=embed)
    payload: Json = {
        "model": {"name": work.model_name, "long_side": work.long_side},
        "zoom": None if work.zoom is None else asdict(work.zoom),
        "image": work.image.digest,
        "images": images,
        "references": {
            digest: _reference_to_json(work.library[digest]) for digest in sorted(work.library)
        },
        "root": {label: [one.digest for one in work.root.of(label)] for label in work.root.labels},
        "events": [event_to_json(event) for event in work.log.events],
        "pointer": work.log.pointer,
        "masks": {
            name: {str(index): _result_to_json(slices[index]) for index in sorted(slices)}
            for name, slices in work.results.items()
        },
    }
    write_json(path, FORMAT, VERSION, payload)


def read_model_name(path: Path) -> str:
    """Return the name of the model that a work file was made with.

    Raises:
        FormatVersionError: the file is not a work file, damaged or newer than this program.
    """
    document = read_json(path, FORMAT, VERSION)
    try:
        return need(document["model"]["name"], str)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def read_work(path: Path, image: Image | None = None) -> Work:
    """Read a work file; `image` stands in for an annotated image that has moved.

    Raises:
        FormatVersionError: the file is not a work file, damaged or newer than this program.
        ImageReadError: the annotated image is missing or has changed.
    """
    document = read_json(path, FORMAT, VERSION)
    try:
        return _work_from_json(document, path.parent, image)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _work_from_json(document: Json, folder: Path, given: Image | None) -> Work:
    digest = need(document["image"], str)
    if given is not None and given.digest != digest:
        raise ImageReadError(
            "the image passed as image= is not the one that was annotated; its content differs"
        )
    known = {} if given is None else {digest: given}
    images = {
        key: known.get(key) or image_from_json(record, key, folder)
        for key, record in need(document["images"], dict).items()
    }
    image = images[digest]
    shape = image.geometry.shape
    library = {
        key: _reference_from_json(record, images, key)
        for key, record in need(document["references"], dict).items()
    }
    root = ReferenceBank(
        {
            label: tuple(library[key] for key in keys)
            for label, keys in need(document["root"], dict).items()
        }
    )
    events = tuple(event_from_json(one, shape) for one in need(document["events"], list))
    model = document["model"]
    return Work(
        model_name=need(model["name"], str),
        long_side=need(model["long_side"], int),
        zoom=_zoom_from_json(document["zoom"]),
        image=image,
        library=library,
        root=root,
        log=PromptLog(_in_order(events, image), _pointer(document["pointer"], events)),
        results={
            label: {
                _slice(index, image): _result_from_json(record, shape[1:])
                for index, record in need(slices, dict).items()
            }
            for label, slices in need(document["masks"], dict).items()
        },
    )


def _zoom_from_json(record: Json | None) -> ZoomSettings | None:
    if record is None:
        return None
    return ZoomSettings(
        largest_share=need(record["largest_share"], float),
        margin=need(record["margin"], float),
        steps=need(record["steps"], int),
    )


def _in_order(events: tuple[Event, ...], image: Image) -> tuple[Event, ...]:
    """Refuse a log whose events do not follow one another on this image."""
    for position, event in enumerate(events):
        follows = event.parent is None or 0 <= event.parent < position
        if event.seq != position or not follows or event.image != image.digest:
            raise ValueError(f"event {event.seq} at place {position} does not continue the log")
    return events


def _pointer(value: object, events: tuple[Event, ...]) -> int | None:
    if value is None:
        return None
    pointer = need(value, int)
    if not 0 <= pointer < len(events):
        raise ValueError(f"pointer {pointer} of {len(events)} events")
    return pointer


def _slice(text: str, image: Image) -> int:
    index = int(text)
    if not 0 <= index < image.num_slices:
        raise ValueError(f"a mask on slice {index} of {image.num_slices}")
    return index


def _reference_to_json(reference: Reference) -> Json:
    return {
        "image": reference.image.digest,
        "planes": {
            str(index): plane_to_json(reference.planes[index]) for index in sorted(reference.planes)
        },
        "provenance": asdict(reference.provenance),
    }


def _reference_from_json(record: Json, images: Mapping[str, Image], digest: str) -> Reference:
    image = images[need(record["image"], str)]
    planes = {
        _slice(index, image): plane_from_json(text, image.geometry.shape[1:])
        for index, text in need(record["planes"], dict).items()
    }
    provenance = need(record["provenance"], dict)
    reference = Reference(
        image,
        planes,
        Provenance(need(provenance["is_commit"], bool), provenance["source"], provenance["author"]),
    )
    if reference.digest != digest:
        raise ValueError(f"reference {digest[:12]} does not match its hash")
    return reference


def _result_to_json(result: SliceResult) -> Json:
    return {"mask": plane_to_json(result.mask), "presence": result.presence}


def _result_from_json(record: Json, shape: tuple[int, int]) -> SliceResult:
    presence = need(record["presence"], float)
    return SliceResult(plane_from_json(record["mask"], shape), presence, None, None)


def _damaged(path: Path, error: Exception) -> FormatVersionError:
    return FormatVersionError(
        f"{path} is damaged ({type(error).__name__}: {error}); restore it from a copy"
    )
