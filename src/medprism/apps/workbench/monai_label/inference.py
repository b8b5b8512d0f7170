"""What MONAI Label calls models: the same model asked by class, by references, or by clicks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConflictError, PromptError, UnknownEntryError
from medprism.core.image import Image
from medprism.core.labels import LabelMap
from medprism.inference.session import DEFAULT_LABEL, Session
from medprism.io.reader import read_mask
from medprism.project.annotating import chosen_examples, references_of, use_references
from medprism.project.confinement import safe_name

MODELS: Final = ("classes", "references", "points")
# Parameters of a request that are no lists of clicks.
_FOREGROUND, _BACKGROUND = "foreground", "background"
_NOBODY: Final = 0


@dataclass(frozen=True, eq=False)
class Inferred:
    """A label map as a file's content, and the parameters that go with it."""

    name: str
    content: bytes
    params: dict[str, Any]


def describe_models(bench: Workbench) -> dict[str, Any]:
    """Return the models that `/info/` lists."""
    accepts = bench.model.segmenter.accepts
    known = [one.name for one in bench.project.labels.all()]
    models: dict[str, Any] = {}
    if accepts.classes:
        names = list(bench.model.concepts.names)
        models["classes"] = _model(
            "segmentation", names, "classes the model was trained on; params: label (names)"
        )
    if accepts.references:
        models["references"] = _model(
            "segmentation", known, "labels with references in the project; params: label (names)"
        )
    if accepts.clicks:
        models["points"] = _model(
            "deepgrow", [], "clicks; params: foreground and background as [[i, j, k], ...]"
        )
    return models


def infer(
    bench: Workbench,
    model: str,
    image: Image,
    number: int | None,
    params: Mapping[str, Any],
    start: tuple[str, bytes] | None = None,
) -> Inferred:
    """Segment an image as a client asks; `number` is the image's in the project, if it is there.

    `start` (a file's name and content) is a mask that clicks go on from; classes and references
    do without.

    Raises:
        UnknownEntryError: there is no such model.
        PromptError: clicks that are none, or outside the image.
        LabelError: a class or label that is unknown.
    """
    if model not in describe_models(bench):
        raise UnknownEntryError(
            f"there is no model {model[:40]!r}; `/info/` lists {', '.join(describe_models(bench))}"
        )
    session = Session(bench.model, memory=bench.desk.memory)
    session.set_image(image)
    started = time.perf_counter()
    with bench.turns.for_a_person():
        if model == "points":
            _click(session, params, start)
        elif model == "classes":
            session.predict(classes=_names(params, list(bench.model.concepts.names)))
        else:
            _by_reference(bench, session, number, params)
    return _result(session, 1000 * (time.perf_counter() - started))


def write_label_map(session: Session, name: str) -> tuple[bytes, LabelMap]:
    """Return all labels of a session as the content of a NIfTI file."""
    with TemporaryDirectory(prefix="medprism-") as folder:
        path = Path(folder) / name
        written = session.write_mask(path, format="nifti")
        return path.read_bytes(), written


def _result(session: Session, milliseconds: float) -> Inferred:
    name = "label.nii.gz"
    content, written = write_label_map(session, name)
    params = {
        "label_names": {label: number for number, label in written.names.items()},
        "presence": {label: session.presence(label) for label in session.labels},
        "overlapped": dict(written.dropped),
        "latencies": {"infer": round(milliseconds / 1000, 4)},
    }
    return Inferred(name, content, params)


def _by_reference(
    bench: Workbench, session: Session, number: int | None, params: Mapping[str, Any]
) -> None:
    taught = []
    wanted = _names(params, [one.name for one in bench.project.labels.all()])
    for name in wanted:
        label = bench.project.labels.named(name)
        examples = [] if label is None else chosen_examples(bench.desk, label.id, number or _NOBODY)
        if examples:
            use_references(session, name, references_of(bench.desk, examples))
            taught.append(name)
    if not taught:
        raise ConflictError(
            f"none of {', '.join(wanted) or 'the labels'} has a reference in the project; accept "
            "masks first"
        )
    session.predict(labels=taught)


def _click(session: Session, params: Mapping[str, Any], start: tuple[str, bytes] | None) -> None:
    label = params.get("label")
    name = label if isinstance(label, str) and label.strip() else DEFAULT_LABEL
    clicks = [
        (place, is_positive)
        for key, is_positive in ((_FOREGROUND, True), (_BACKGROUND, False))
        for place in _places(params.get(key), key)
    ]
    if not any(is_positive for _, is_positive in clicks):
        raise PromptError("there is no click in `foreground`; give [[i, j, k], ...]")
    image = session.image
    if start is not None and image is not None:
        session.add_initial_seg_interaction(_mask(start, image), name)
    for at, ((i, j, k), is_positive) in enumerate(clicks):
        # Voxel indices of the file are (i, j, k), ours (slice, row, col) are (k, j, i).
        place = [j, i] if image is not None and image.is_planar else [k, j, i]
        is_last = at == len(clicks) - 1
        session.add_point_interaction(place, is_positive, name, run_prediction=is_last)
    session.predict(labels=[name])


def _mask(start: tuple[str, bytes], image: Image) -> np.ndarray:
    with TemporaryDirectory(prefix="medprism-") as folder:
        path = Path(folder) / safe_name(start[0])
        path.write_bytes(start[1])
        return np.asarray(read_mask(path, like=image).array > 0)


def _places(given: object, key: str) -> list[tuple[float, float, float]]:
    """Return positions (i, j, k); pictures may leave k out.

    Raises:
        PromptError: something else.
    """
    if given is None:
        return []
    places = []
    listed: list[Any] = given if isinstance(given, list) else [given]
    for one in listed:
        is_place = (
            isinstance(one, list)
            and len(one) in (2, 3)
            and all(isinstance(part, int | float) and not isinstance(part, bool) for part in one)
        )
        if not is_place:
            raise PromptError(f"{key} must be a list of voxel positions [[i, j, k], ...]")
        i, j, *rest = one
        places.append((float(i), float(j), float(rest[0]) if rest else 0.0))
    return places


def _names(params: Mapping[str, Any], every: Sequence[str]) -> list[str]:
    given = params.get("label", params.get("labels"))
    if given is None:
        return list(every)
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise PromptError("label must be a name or a list of names")
    return names


def _model(kind: str, labels: list[str], description: str) -> dict[str, Any]:
    return {
        "type": kind,
        "labels": {name: number for number, name in enumerate(labels, start=1)},
        "dimension": 2,
        "description": f"medprism: {description}",
        "config": {},
    }
