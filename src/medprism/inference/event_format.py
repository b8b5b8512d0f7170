"""Events as plain data and back. What is read is checked: a wrong type is a ValueError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from medprism.core.labels import decode_runs, encode_runs
from medprism.core.prompt import Box, Click, Interaction, Lasso, Scribble, check_interaction
from medprism.inference.action import (
    Action,
    Commit,
    GiveMask,
    Interact,
    Lock,
    Mark,
    Predict,
    Reset,
    Target,
    UseReferences,
    kind_of,
    label_of,
)
from medprism.inference.packed_mask import PackedMask
from medprism.inference.prompt_log import Event, Origin

SCHEMA: Final = 1

Json = dict[str, Any]
Grid = tuple[int, int, int]
_Kind = TypeVar("_Kind")


def event_to_json(event: Event) -> Json:
    """Return an event as plain data."""
    return {
        "schema": SCHEMA,
        "seq": event.seq,
        "parent": event.parent,
        "kind": kind_of(event.action),
        "label": label_of(event.action),
        "prompt": _prompt_to_json(event.action),
        "image": event.image,
        "references": list(event.references),
        "weights": event.origin.weights,
        "engine": event.origin.engine,
        "threads": event.origin.threads,
        "versions": dict(event.origin.versions),
        "author": event.author,
        "time": event.time,
    }


def event_from_json(payload: Json, shape: Grid) -> Event:
    """Build an event from plain data; `shape` is that of the image it happened on.

    Raises:
        ValueError, KeyError, LabelError, PromptError: the data is not an event on such an image.
    """
    if need(payload["schema"], int) > SCHEMA:
        raise ValueError(f"event schema {payload['schema']}, this program knows {SCHEMA}")
    parent = payload["parent"]
    versions = need(payload["versions"], dict)
    return Event(
        seq=need(payload["seq"], int),
        parent=None if parent is None else need(parent, int),
        action=_action_from_json(payload, shape),
        image=need(payload["image"], str),
        references=tuple(need(one, str) for one in need(payload["references"], list)),
        origin=Origin(
            need(payload["weights"], str),
            need(payload["engine"], str),
            need(payload["threads"], int),
            {need(key, str): need(value, str) for key, value in versions.items()},
        ),
        author=need(payload["author"], str),
        time=need(payload["time"], str),
    )


def plane_to_json(plane: PackedMask) -> str:
    """Return a mask as run lengths in one line of text.

    >>> import numpy as np
    >>> plane_to_json(PackedMask.pack(np.array([[False, True], [True, False]])))
    '1 2 1'
    """
    return " ".join(str(run) for run in encode_runs(plane.unpack()))


def plane_from_json(text: object, shape: tuple[int, int]) -> PackedMask:
    """Undo `plane_to_json`.

    Raises:
        ValueError, LabelError: not the runs of a mask of this shape.
    """
    runs = [int(word) for word in need(text, str).split()]
    if sum(runs) != shape[0] * shape[1]:
        raise ValueError(f"a mask of {sum(runs)} pixels on a slice of {shape[0]} x {shape[1]}")
    return PackedMask.pack(decode_runs(runs, shape))


def need(value: object, kind: type[_Kind]) -> _Kind:
    """Return a value that must be exactly of this type.

    Raises:
        ValueError: it is of another one (a bool is no int here).
    """
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} expected, found {type(value).__name__}")
    return value


def _prompt_to_json(action: Action) -> Json:
    match action:
        case Interact(marks=marks, predicts=predicts):
            return {"marks": [_mark_to_json(mark) for mark in marks], "predicts": predicts}
        case GiveMask(planes=planes):
            return {"planes": [[index, plane_to_json(plane)] for index, plane in planes]}
        case UseReferences(digests=digests):
            return {"references": list(digests)}
        case Predict(targets=targets):
            return {"targets": [[target.label, target.concept] for target in targets]}
        case Commit(digest=digest):
            return {"reference": digest}
        case Lock() | Reset():
            return {}


def _mark_to_json(mark: Mark) -> Json:
    slice_index, item = mark
    place: Json = {"slice": slice_index, "is_positive": item.is_positive}
    match item:
        case Click(row=row, col=col):
            return {**place, "at": [slice_index, row, col]}
        case Box(top=top, left=left, bottom=bottom, right=right):
            return {**place, "rows": [top, bottom], "cols": [left, right]}
        case Scribble(mask=mask) | Lasso(mask=mask):
            return {**place, "mask": plane_to_json(PackedMask.pack(mask))}


def _action_from_json(payload: Json, shape: Grid) -> Action:
    kind, prompt = need(payload["kind"], str), need(payload["prompt"], dict)
    if kind not in _READERS:
        raise ValueError(f"event kind {kind!r}; known: {', '.join(_READERS)}")
    label = "" if kind in ("predict", "reset") else need(payload["label"], str)
    return _READERS[kind](label, prompt, shape)


def _marks_reader(
    read: Callable[[Json, tuple[int, int]], Interaction],
) -> Callable[[str, Json, Grid], Interact]:
    def from_json(label: str, prompt: Json, shape: Grid) -> Interact:
        given = [need(one, dict) for one in need(prompt["marks"], list)]
        marks = tuple((_slice(one["slice"], shape), read(one, shape[1:])) for one in given)
        for _, mark in marks:
            check_interaction(mark, shape[1:])
        if not marks:
            raise ValueError("an interaction without marks")
        return Interact(label, marks, need(prompt["predicts"], bool))

    return from_json


def _slice(value: object, shape: Grid) -> int:
    index = need(value, int)
    if not 0 <= index < shape[0]:
        raise ValueError(f"a mark on slice {index} of {shape[0]}")
    return index


def _click(mark: Json, shape: tuple[int, int]) -> Click:
    _, row, col = (need(number, int) for number in need(mark["at"], list))
    return Click(row, col, need(mark["is_positive"], bool))


def _box(mark: Json, shape: tuple[int, int]) -> Box:
    top, bottom = (need(number, int) for number in need(mark["rows"], list))
    left, right = (need(number, int) for number in need(mark["cols"], list))
    return Box(top, left, bottom, right, need(mark["is_positive"], bool))


def _scribble(mark: Json, shape: tuple[int, int]) -> Scribble:
    mask = plane_from_json(mark["mask"], shape).unpack()
    return Scribble(mask, need(mark["is_positive"], bool))


def _lasso(mark: Json, shape: tuple[int, int]) -> Lasso:
    mask = plane_from_json(mark["mask"], shape).unpack()
    return Lasso(mask, need(mark["is_positive"], bool))


def _give_mask(label: str, prompt: Json, shape: Grid) -> GiveMask:
    planes = need(prompt["planes"], list)
    return GiveMask(
        label,
        tuple((_slice(index, shape), plane_from_json(text, shape[1:])) for index, text in planes),
    )


def _use_references(label: str, prompt: Json, shape: Grid) -> UseReferences:
    digests = need(prompt["references"], list)
    return UseReferences(label, tuple(need(digest, str) for digest in digests))


def _predict(label: str, prompt: Json, shape: Grid) -> Predict:
    targets = need(prompt["targets"], list)
    return Predict(
        tuple(
            Target(need(name, str), None if concept is None else need(concept, str))
            for name, concept in targets
        )
    )


_READERS: Final[Mapping[str, Callable[[str, Json, Grid], Action]]] = {
    "point": _marks_reader(_click),
    "bbox": _marks_reader(_box),
    "scribble": _marks_reader(_scribble),
    "lasso": _marks_reader(_lasso),
    "initial_seg": _give_mask,
    "references": _use_references,
    "predict": _predict,
    "commit": lambda label, prompt, shape: Commit(label, need(prompt["reference"], str)),
    "lock": lambda label, prompt, shape: Lock(label, True),
    "unlock": lambda label, prompt, shape: Lock(label, False),
    "reset": lambda label, prompt, shape: Reset(),
}
