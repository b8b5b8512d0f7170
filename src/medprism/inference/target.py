"""Which labels a caller means: names, synonyms and classes, with a way out for unknown ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from medprism.core.concepts import ConceptTable
from medprism.core.errors import LabelError
from medprism.engines.loaded import LoadedModel
from medprism.inference.action import Target
from medprism.inference.annotation import Annotation
from medprism.inference.placement import Given, check_label, check_names


def find_targets(
    model: LoadedModel, annotation: Annotation, labels: Given | None, classes: Given | None
) -> dict[str, Target]:
    """Return what to predict for each name asked for; without names, all that is possible.

    A name that is asked for both as class and as label is asked for by class.

    Raises:
        LabelError: an unknown or locked name, or a model that knows no classes.
    """
    if labels is None and classes is None:
        return _all_known(model, annotation)
    by_label: dict[str, Target] = {}
    asked: dict[str, str] = {}
    for name in () if classes is None else check_names(classes, "classes"):
        label = _concept(model, name)
        asked[name] = label
        by_label[label] = Target(label, concept=label)
    for name in () if labels is None else check_names(labels, "labels"):
        label = _label_with_knowledge(model, annotation, name)
        asked[name] = label
        by_label.setdefault(label, Target(label))
    for label in by_label:
        refuse_locked(annotation, label)
    return {name: by_label[label] for name, label in asked.items()}


def find_label(concepts: ConceptTable, annotation: Annotation, label: Given) -> str:
    """Return the label of this name, or of the class it is a synonym of, on this image.

    Raises:
        LabelError: there is none; the message lists near ones.
    """
    name = check_label(label)
    found = _own_name(concepts, name, annotation.labels)
    if found is None:
        hint = _near(name, annotation.labels) or "there is none yet"
        raise LabelError(
            f"no label {name!r} on this image; {hint}; click, or predict it, to make one"
        )
    return found


def refuse_locked(annotation: Annotation, label: str) -> None:
    """Refuse to change a locked label.

    Raises:
        LabelError: the label is locked.
    """
    if label in annotation.labels and annotation.labels[label].is_locked:
        raise LabelError(f"label {label!r} is locked; unlock({label!r}) lets it change again")


def _all_known(model: LoadedModel, annotation: Annotation) -> dict[str, Target]:
    names = dict.fromkeys((*annotation.labels, *annotation.bank.labels))
    targets = {
        name: Target(name)
        for name in names
        if _is_known(model, annotation, name)
        and not (name in annotation.labels and annotation.labels[name].is_locked)
    }
    if not targets:
        raise LabelError(
            "there is nothing to predict: ask for classes=[...], give references with "
            "set_references, or click first"
        )
    return targets


def _concept(model: LoadedModel, name: str) -> str:
    if not model.segmenter.accepts.classes:
        raise LabelError(
            f"model {model.name!r} knows no classes, {name!r} cannot be asked for by name; give "
            "references or click"
        )
    return model.concepts.names[model.concepts.row(name)]


def _label_with_knowledge(model: LoadedModel, annotation: Annotation, name: str) -> str:
    known = dict.fromkeys((*annotation.labels, *annotation.bank.labels))
    label = _own_name(model.concepts, name, known)
    if label is not None and _is_known(model, annotation, label):
        return label
    by_class = ""
    if model.segmenter.accepts.classes and _own_name(model.concepts, name, model.concepts.names):
        by_class = f", or ask for the class: predict(classes=[{name!r}])"
    near = _near(name, known)
    raise LabelError(
        f"nothing is known about label {name!r}{f' ({near})' if near else ''}; click on it, give "
        f"examples with set_references(images, masks, label={name!r}){by_class}"
    )


def _is_known(model: LoadedModel, annotation: Annotation, label: str) -> bool:
    """Say whether there is a class, a reference, an interaction or a given mask."""
    if label in annotation.bank and model.segmenter.accepts.references:
        return True
    state = annotation.labels.get(label)
    if state is None:
        return False
    has_result = any(one.result is not None for one in state.slices.values())
    return state.concept is not None or has_result or state.num_interactions > 0


def _own_name(concepts: ConceptTable, name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is meant: itself, or the class it is a synonym of."""
    names = tuple(known)
    if name in names:
        return name
    try:
        canonical = concepts.names[concepts.row(name)]
    except LabelError:
        return None
    return canonical if canonical in names else None


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"there is {', '.join(names)}" if names else ""
