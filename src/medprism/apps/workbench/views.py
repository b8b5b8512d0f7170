"""Rows of the project as the documents that clients get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medprism.apps.workbench.pictures import Window
from medprism.apps.workbench.training import BASE
from medprism.apps.workbench.workbench import Workbench
from medprism.project.checkpoints import CheckpointRecord
from medprism.project.examples import ExampleRecord
from medprism.project.images import ImageRecord
from medprism.project.jobs import JobRecord
from medprism.project.labels import LabelRecord
from medprism.project.masks import Acceptance

Json = dict[str, Any]


def show_images(bench: Workbench, records: Iterable[ImageRecord]) -> list[Json]:
    """Return images with their accepted labels and who works on them."""
    labels = bench.project.masks.labels_by_image()
    users = {one.image: one.author for one in bench.project.leases.all()}
    return [_image(one, labels, users) for one in records]


def show_image(bench: Workbench, record: ImageRecord) -> Json:
    """Return one image."""
    return show_images(bench, [record])[0]


def show_window(window: Window) -> Json:
    """Return the window of an image with its presets."""
    return {
        "low": window.low,
        "high": window.high,
        "minimum": window.minimum,
        "maximum": window.maximum,
        "presets": [{"name": name, "low": low, "high": high} for name, low, high in window.presets],
    }


def show_label(bench: Workbench, record: LabelRecord) -> Json:
    """Return a label."""
    return {
        "id": record.id,
        "name": record.name,
        "colour": list(record.colour),
        "is_class": bench.class_name(record.name) == record.name,
        "references": len(bench.project.examples.find(record.id, only_active=True)),
        "accepted": bench.project.labels.count_accepted(record.id),
        "masks": bench.project.labels.count_masks(record.id),
    }


def show_example(record: ExampleRecord) -> Json:
    """Return a reference."""
    return {
        "id": record.id,
        "label": record.label,
        "name": record.label_name,
        "image": record.image,
        "image_name": record.image_name,
        "author": record.author,
        "added": record.added,
        "origin": record.origin,
        "is_active": record.is_active,
        "score": record.score,
        "scored": record.scored,
    }


def show_acceptance(record: Acceptance, mask: Json | None = None) -> Json:
    """Return an accepted mask; `mask` are its runs on a slice."""
    return {
        "id": record.id,
        "label": record.label,
        "name": record.name,
        "author": record.author,
        "time": record.time,
        "is_current": record.is_current,
        "is_absent": record.file is None,
        "pixels": record.pixels,
        "mask": mask,
    }


def show_job(record: JobRecord) -> Json:
    """Return a job."""
    return {
        "id": record.id,
        "kind": record.kind,
        "state": record.state,
        "done": record.done,
        "total": record.total,
        "message": record.message,
        "author": record.author,
        "created": record.created,
        "ended": record.ended,
        "result": record.result,
        "has_file": record.file is not None,
    }


def show_checkpoints(bench: Workbench) -> Json:
    """Return the base model and what was trained in the project."""
    trained = [show_checkpoint(bench, one) for one in bench.project.checkpoints.all()]
    return {"current": bench.checkpoint, "checkpoints": [show_base(bench), *trained]}


def show_base(bench: Workbench) -> Json:
    """Return the model that the server was started with, as checkpoint 0."""
    nothing = dict.fromkeys(("label", "parent", "job", "author", "created", "report"))
    return {
        "id": BASE,
        "name": Path(bench.base.name).name,
        "is_base": True,
        "is_current": bench.checkpoint == BASE,
        "is_missing": False,
        "weights_hash": bench.base.weights_hash,
        **nothing,
    }


def show_checkpoint(bench: Workbench, record: CheckpointRecord) -> Json:
    """Return a checkpoint that was trained in the project."""
    return {
        "id": record.id,
        "name": record.file,
        "is_base": False,
        "is_current": bench.checkpoint == record.id,
        "is_missing": not bench.project.checkpoints.is_there(record),
        "label": record.label_name,
        "parent": BASE if record.parent is None else record.parent,
        "job": record.job,
        "author": record.author,
        "created": record.created,
        "weights_hash": record.weights_hash,
        "report": record.report,
    }


def _image(record: ImageRecord, labels: Mapping[int, list[str]], users: Mapping[int, str]) -> Json:
    return {
        "id": record.id,
        "name": record.name,
        "state": record.state,
        "reason": record.reason,
        "width": record.width,
        "height": record.height,
        "slices": record.slices,
        "is_rgb": record.is_rgb,
        "modality": record.modality,
        "spacing": None if record.spacing is None else list(record.spacing),
        "is_physical": record.is_physical,
        "is_presegmented": record.is_presegmented,
        "uncertainty": record.uncertainty,
        "labels": labels.get(record.id, []),
        "in_use_by": users.get(record.id),
        "added": record.added,
        "changed": record.changed,
    }
