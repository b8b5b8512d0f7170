"""What a user can do to an annotation, as values that fit into a prompt log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from medprism.core.prompt import Box, Click, Interaction, Lasso, Scribble
from medprism.inference.packed_mask import PackedMask

Mark: TypeAlias = tuple[int, Interaction]


@dataclass(frozen=True, eq=False)
class Interact:
    """Marks of one kind about one label, each on its slice; `predicts` asks the model at once."""

    label: str
    marks: tuple[Mark, ...]
    predicts: bool


@dataclass(frozen=True)
class GiveMask:
    """A mask to start from (an initial segmentation), slice by slice; it becomes the result."""

    label: str
    planes: tuple[tuple[int, PackedMask], ...]


@dataclass(frozen=True)
class UseReferences:
    """The references of a label from now on, by hash."""

    label: str
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """A label to predict; with a class name if it is asked for by class."""

    label: str
    concept: str | None = None


@dataclass(frozen=True)
class Predict:
    """Ask the model for labels, everywhere something is known about them."""

    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Commit:
    """Accept a label's mask: locked, and an example of the label from now on, by hash."""

    label: str
    digest: str


@dataclass(frozen=True)
class Lock:
    """Freeze a label's mask and keep other labels out of it, or undo that."""

    label: str
    is_locked: bool


@dataclass(frozen=True)
class Reset:
    """Forget all interactions and results, except those of locked labels."""


Action: TypeAlias = Interact | GiveMask | UseReferences | Predict | Commit | Lock | Reset

_INTERACTION_KINDS: Final[dict[type, str]] = {
    Click: "point",
    Scribble: "scribble",
    Box: "bbox",
    Lasso: "lasso",
}


def kind_of(action: Action) -> str:
    """Return the name an action has in the prompt log.

    >>> kind_of(Interact("cyst", ((0, Click(3, 4, True)),), True)), kind_of(Reset())
    ('point', 'reset')
    """
    match action:
        case Interact(marks=marks):
            return _INTERACTION_KINDS[type(marks[0][1])]
        case GiveMask():
            return "initial_seg"
        case UseReferences():
            return "references"
        case Predict():
            return "predict"
        case Commit():
            return "commit"
        case Lock(is_locked=is_locked):
            return "lock" if is_locked else "unlock"
        case Reset():
            return "reset"


def label_of(action: Action) -> str | None:
    """Return the label an action is about; None if it is about several or all."""
    return None if isinstance(action, Predict | Reset) else action.label
