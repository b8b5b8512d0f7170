"""Whether an image is of the kind that a task learned from: a wrong modality is a warning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medprism.core.errors import LabelError
from medprism.core.image import Image
from medprism.engines.loaded import LoadedModel


def check_task(model: LoadedModel, name: str) -> str:
    """Return a task's own name.

    Raises:
        LabelError: the model has no tasks, or none of this name; near ones are listed.
    """
    if not model.segmenter.accepts.tasks:
        raise LabelError(
            f"model {model.name!r} has no tasks; choose a TP-Seg checkpoint, or ask for the class "
            f"{name!r}"
        )
    return model.concepts.names[model.concepts.row(name, "task")]


def foreign_modalities(model: LoadedModel, names: Iterable[str], image: Image) -> tuple[str, ...]:
    """Return a sentence for each task whose training images were of another kind than the image.

    The kind is the modality where image and checkpoint know it, else grey or colour. Names that are
    no task of the model say nothing.
    """
    entries = {
        str(entry["name"]): entry
        for entry in model.card.get("tasks", ())
        if isinstance(entry, Mapping) and {"name", "modalities", "colours"} <= entry.keys()
    }
    asked = (model.concepts.names[model.concepts.row(name)] for name in names)
    found = (_compare(entries[name], image) for name in asked if name in entries)
    return tuple(sentence for sentence in found if sentence is not None)


def _compare(entry: Mapping[str, Any], image: Image) -> str | None:
    seen, learned = image.modality, list(entry["modalities"])
    if seen is None or not learned:
        seen, learned = "colour" if image.is_rgb else "grey", list(entry["colours"])
    if not learned or seen in learned:
        return None
    return (
        f"the image is {seen}, and task {entry['name']!r} learned from "
        f"{' and '.join(learned)} images; its mask may mean nothing"
    )
