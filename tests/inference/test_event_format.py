from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import LabelError, PromptError
from medprism.core.prompt import Box, Click, Interaction, Lasso, Scribble
from medprism.inference.action import (
    Action,
    Commit,
    GiveMask,
    Interact,
    Lock,
    Predict,
    Reset,
    Target,
    UseReferences,
)
from medprism.inference.event_format import (
    event_from_json,
    event_to_json,
    plane_from_json,
    plane_to_json,
)
from medprism.inference.packed_mask import PackedMask
from medprism.inference.prompt_log import Event, Origin

GRID = (3, 6, 9)
ORIGIN = Origin("weights", "torch", 2, {"medprism": "0.1.0", "torch": "2"})


def _mask(seed: int) -> np.ndarray:
    mask = np.random.default_rng(seed).random(GRID[1:]) < 0.3
    mask[2, 3] = True
    return mask


def _planes() -> tuple[tuple[int, PackedMask], ...]:
    return ((0, PackedMask.pack(_mask(1))), (2, PackedMask.pack(np.zeros(GRID[1:], bool))))


ACTIONS: dict[str, Action] = {
    "point": Interact("cyst", ((1, Click(5, 8, False)),), True),
    "bbox": Interact("cyst", ((2, Box(0, 3, 6, 9, True)),), False),
    "scribble": Interact(
        "cyst", ((0, Scribble(_mask(2), True)), (1, Scribble(_mask(3), True))), True
    ),
    "lasso": Interact("cyst", ((2, Lasso(_mask(4), False)),), True),
    "initial_seg": GiveMask("cyst", _planes()),
    "references": UseReferences("cyst", ("a" * 64, "b" * 64)),
    "predict": Predict((Target("cyst"), Target("liver", "liver"))),
    "commit": Commit("cyst", "c" * 64),
    "lock": Lock("cyst", True),
    "unlock": Lock("cyst", False),
    "reset": Reset(),
}


def _event(action: Action) -> Event:
    return Event(4, 2, action, "i" * 64, ("r" * 64,), ORIGIN, "me", "2026-01-02T03:04:05+00:00")


def _through_file(event: Event) -> Event:
    return event_from_json(json.loads(json.dumps(event_to_json(event))), GRID)


def _said(mark: Interaction) -> object:
    if isinstance(mark, Scribble | Lasso):
        return type(mark), mark.mask.tolist(), mark.is_positive
    return mark


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_kind_of_action_survives_the_file(kind: str) -> None:
    action = ACTIONS[kind]
    event = _event(action)
    again = _through_file(event)
    payload = event_to_json(event)
    assert payload["kind"] == kind
    assert payload["label"] == (None if kind in ("predict", "reset") else "cyst")
    if isinstance(action, Interact):
        assert isinstance(again.action, Interact)
        assert (again.action.label, again.action.predicts) == (action.label, action.predicts)
        assert [(at, _said(mark)) for at, mark in again.action.marks] == [
            (at, _said(mark)) for at, mark in action.marks
        ]
    else:
        assert again.action == action
    for field in ("seq", "parent", "image", "references", "origin", "author", "time"):
        assert getattr(again, field) == getattr(event, field)


def test_an_event_has_the_fields_of_the_design() -> None:
    payload = event_to_json(_event(ACTIONS["point"]))
    assert set(payload) == {
        *("schema", "seq", "parent", "kind", "label", "prompt", "image", "references"),
        *("weights", "engine", "threads", "versions", "author", "time"),
    }
    assert payload["prompt"]["marks"][0]["at"] == [1, 5, 8]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("schema",), 2),
        (("schema",), "1"),
        (("kind",), "jump"),
        (("label",), 3),
        (("label",), None),
        (("seq",), True),
        (("prompt", "predicts"), 1),
        (("prompt", "marks"), []),
        (("prompt", "marks", 0, "slice"), 3),
        (("prompt", "marks", 0, "slice"), -1),
        (("prompt", "marks", 0, "at"), [1, 2]),
        (("prompt", "marks", 0, "at"), [1, 2, 2.5]),
        (("prompt", "marks", 0, "at"), [1, 6, 0]),
        (("versions",), {"torch": 2}),
        (("threads",), 1.0),
    ],
)
def test_what_is_no_event_is_refused(path: tuple[str | int, ...], wrong: object) -> None:
    payload = event_to_json(_event(ACTIONS["point"]))
    target = payload
    for key in path[:-1]:
        target = target[key]  # type: ignore[index]
    target[path[-1]] = wrong  # type: ignore[index]
    with pytest.raises((ValueError, PromptError)):
        event_from_json(payload, GRID)


@given(st.lists(st.booleans(), min_size=54, max_size=54))
def test_masks_survive_the_file(pixels: list[bool]) -> None:
    packed = PackedMask.pack(np.array(pixels).reshape(6, 9))
    assert plane_from_json(plane_to_json(packed), (6, 9)) == packed


@pytest.mark.parametrize("text", ["", "53", "1 2 x", "60 -6", "-1 55", "9" * 30, None, 54])
def test_what_is_no_mask_is_refused(text: object) -> None:
    with pytest.raises((ValueError, LabelError)):
        plane_from_json(text, (6, 9))


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_event_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(ACTIONS)))
    payload = copy.deepcopy(event_to_json(_event(ACTIONS[kind])))
    holder: object = payload
    key: object = None
    while isinstance(holder, dict | list) and len(holder):
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = data.draw(st.sampled_from(list(keys)))
        inner = holder[key]  # type: ignore[index, call-overload]
        if not isinstance(inner, dict | list) or data.draw(st.booleans()):
            break
        holder = inner
    if isinstance(holder, dict | list) and len(holder):
        junk = st.one_of(
            st.none(), st.integers(-3, 12), st.text(max_size=2), st.just([]), st.just({})
        )
        holder[key] = data.draw(junk)  # type: ignore[index, call-overload]
    try:
        event_from_json(payload, GRID)
    except (ValueError, KeyError, TypeError, LabelError, PromptError) as error:
        assert str(error)
