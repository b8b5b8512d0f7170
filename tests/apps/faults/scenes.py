"""Five kinds of work that write: what is there before, what they do, what may be there after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import nibabel as nib
import numpy as np

from medprism.core import durable
from medprism.core.errors import StoreError
from medprism.core.progress import SilentProgress
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.inference.archive import segment_folder
from medprism.inference.knowledge import Knowledge
from medprism.inference.memory import Memory
from medprism.inference.session import Session
from medprism.inference.statistics import write_statistics
from medprism.inference.work_file import read_work
from medprism.models.checkpoint import load_checkpoint
from medprism.project.annotating import Desk, open_session, save_session
from medprism.project.export import export_all
from medprism.project.masks import Accepting, as_labels
from medprism.project.project import HOME, Project
from medprism.project.shelf import ImageShelf
from medprism.training.loop import STATE_FILE
from medprism.training.run import BEST, LAST, Run
from medprism.training.run_order import RunOrder
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.state import read_document
from tests.apps.faults.quick_training import STEPS, train_quickly
from tests.data.phantoms import write_dataset
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

# Takes a line on something that is done for good.
Told = Callable[[str], None]
Digests = dict[str, str]

LABELS: Final = ("liver", "polyp")
# What belongs to a process alone, or says when something was looked at.
_PASSING: Final = (".sources.json", "prepare.lock", "lock", "-wal", "-shm", ".sqlite")


@dataclass(frozen=True)
class Scene:
    """One kind of work in a folder.

    `lay_out` puts there what it works on; `work` does version 0 or 1 of it; `check` refuses what no
    program could go on with, given what was told; `written` is the folder that it writes to. Where
    `is_whole` every file is that of one version or the other.
    """

    lay_out: Callable[[Path], None]
    work: Callable[[Path, int, Told], None]
    check: Callable[[Path, Sequence[str]], None]
    written: str
    least_points: int
    is_whole: bool = True


def digests(folder: Path) -> Digests:
    """Return the digest of every file below a folder that is not hidden, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_hidden(path, folder) and not path.name.endswith(_PASSING)
    }


def hidden(folder: Path) -> list[str]:
    """Return what is left below a folder under a temporary name."""
    return sorted(path.name for path in folder.rglob("*") if _is_hidden(path, folder))


def refuse_mixtures(found: Digests, old: Digests, new: Digests) -> None:
    """Refuse a file that is neither that of one version nor that of the other, or is missing."""
    for name, digest in found.items():
        assert digest in (old.get(name), new.get(name)), f"{name} is neither old nor new"
    gone = (old.keys() & new.keys()) - found.keys()
    assert not gone, f"{sorted(gone)} are neither old nor new but gone"


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _write_images(folder: Path) -> None:
    folder.mkdir()
    for number, name in enumerate("ab"):
        assert cv2.imwrite(str(folder / f"{name}.png"), scene(number, shift=4 * number)[0])
    stack = np.ascontiguousarray(volume(2)[0].transpose(2, 1, 0))
    nib.save(nib.Nifti1Image(stack, np.diag([0.8, 0.9, 4.0, 1.0])), folder / "c.nii.gz")


def _predict(folder: Path, version: int, told: Told) -> None:
    session = Session(fake_model(), memory=Memory.for_one_pass())
    knowledge = Knowledge(classes=(LABELS[version],))
    report = segment_folder(session, folder / "images", knowledge, folder / "masks")
    assert not report.failed, report.failed
    rows = [row for one in report.segmented for row in one.labels]
    write_statistics(folder / "masks" / "sizes.csv", rows)
    if _can_exchange(folder):
        # The session is on the volume still: its mask as a folder of slices.
        session.write_mask(folder / "masks" / "c.pngs")


def _can_exchange(folder: Path) -> bool:
    """Return whether two folders can change places here, so that one is always there."""
    pair = folder / ".one", folder / ".other"
    for one in pair:
        one.mkdir(exist_ok=True)
    return durable._swap(*pair)


def _check_nothing(folder: Path, told: Sequence[str]) -> None:
    """Files are looked at one by one anyway."""


def _lay_out_sets(folder: Path) -> None:
    for version in (0, 1):
        write_dataset(folder / f"data{version}" / "set", num_patients=2 + version, slices=1)


def _prepare(folder: Path, version: int, told: Told) -> None:
    source = folder / f"data{version}" / "set"
    prepare([source], folder / "store", PrepareConfig(workers=1))


def _check_store(folder: Path, told: Sequence[str]) -> None:
    try:
        store = SliceStore.open(folder / "store")
    except StoreError:
        assert not (folder / "store" / "store.json").exists()
        return
    assert len(store) in (2, 3)
    assert all(store.image(row).any() for row in range(len(store)))


def _lay_out_project(folder: Path) -> None:
    _write_images(folder / "images")
    project = Project(folder / "images")
    project.scan()
    desk = _desk(project)
    for image, masks in ((1, scene(0)[1]), (3, volume(2)[1])):
        entries = [Accepting(project.labels.ensure(name), masks[name]) for name in LABELS]
        project.masks.accept(image, desk.shelf.get(image), entries, "Ada")
    opened = open_session(desk, 2, "Ada").session
    opened.add_point_interaction((30, 30), True, "liver")
    save_session(desk, opened, 2, "Ada")
    project.close()


def _desk(project: Project) -> Desk:
    return Desk(project, fake_model(), ImageShelf(project), Memory.of(2**24))


def _export(folder: Path, version: int, told: Told) -> None:
    project = Project(folder / "images")
    try:
        export_all(
            project,
            ImageShelf(project),
            ("nifti", "coco")[version],
            project.exports / "masks.zip",
            with_logs=True,
            progress=SilentProgress(),
        )
    finally:
        project.close()


def _annotate(folder: Path, version: int, told: Told) -> None:
    project = Project(folder / "images")
    try:
        project.scan()
        desk = _desk(project)
        label = project.labels.ensure(LABELS[version])
        told(f"label {label.name}")
        session = open_session(desk, 1, "Ada").session
        # Accepted masks come back locked; further work is on a label of its own.
        session.add_point_interaction((30 + len(session.log), 40), True, "spot")
        save_session(desk, session, 1, "Ada")
        told(f"events {len(session.log)}")
        like = desk.shelf.get(2)
        mask = scene(0)[1][label.name]
        (kept,) = project.masks.accept(
            2, like, [Accepting(label, mask)], "Ada", example_origin="accepted"
        )
        told(f"accepted {kept.id}")
    finally:
        project.close()


def _check_project(folder: Path, told: Sequence[str]) -> None:
    project = Project(folder / "images")
    desk = _desk(project)
    names = {one.name for one in project.labels.all()}
    numbers = [one.id for one in project.masks.of(2, with_former=True)]
    log = project.works.target(1)
    events = len(read_work(log, desk.shelf.get(1)).log) if log.exists() else 0
    for line in told:
        kind, value = line.split(" ", 1)
        assert value in names if kind == "label" else True
        assert events >= int(value) if kind == "events" else True
        assert int(value) in numbers if kind == "accepted" else True
    planes, found = as_labels(project.masks, 2, desk.shelf.get(2))
    assert all(np.array_equal(planes[name], scene(0)[1][name]) for name in found)
    assert "could not be opened" not in (open_session(desk, 1, "Ada").notice or "")
    known = {one.file for one in project.masks.of(2, with_former=True)}
    assert known <= {path.name for path in (project.home / "masks").iterdir()}
    assert hidden(project.home / "work") == []
    project.close()


def _lay_out_run(folder: Path) -> None:
    split = {"train": ["p0_z000"], "val": ["p1_z000"]}
    write_dataset(folder / "data" / "set", num_patients=2, slices=1, split=split)
    prepare([folder / "data" / "set"], folder / "store", PrepareConfig(workers=1))


def _train(folder: Path, version: int, told: Told) -> None:
    out = folder / "run"
    if (out / RUN_FILE).exists():
        run = Run.resume(out)
    else:
        order = RunOrder(recipe="kprism-nano", store=folder / "store", steps=STEPS)
        run = Run.start(out, order, None)
    train_quickly(run, stop_after=None if version else 1)


def _check_run(folder: Path, told: Sequence[str]) -> None:
    out = folder / "run"
    if not (out / RUN_FILE).exists():
        assert not (out / STATE_FILE).exists()
        return
    RunRecord.load(out)
    if (out / STATE_FILE).exists():
        assert 1 <= read_document(out / STATE_FILE)["step"] <= STEPS
    for name in (BEST, LAST):
        if (out / name).exists():
            load_checkpoint(out / name)
    log = out / "log.jsonl"
    lines = log.read_text().split("\n") if log.exists() else [""]
    # Only the last one may be torn, and it is taken away by whoever goes on.
    assert all(isinstance(json.loads(line), dict) for line in lines[:-1])


SCENES: Final[dict[str, Scene]] = {
    "prediction": Scene(
        lambda at: _write_images(at / "images"), _predict, _check_nothing, "masks", 25
    ),
    "preparation": Scene(_lay_out_sets, _prepare, _check_store, "store", 25),
    "export": Scene(_lay_out_project, _export, _check_nothing, f"images/{HOME}/exports", 25),
    "annotation": Scene(
        _lay_out_project, _annotate, _check_project, f"images/{HOME}", 25, is_whole=False
    ),
    "training": Scene(_lay_out_run, _train, _check_run, "run", 15, is_whole=False),
}


def what_a_run_reached(folder: Path) -> str:
    """Return the hash of the last weights of a run."""
    return load_checkpoint(folder / "run" / LAST).weights_hash
