"""Segment an archive with many processes, on one machine or on many: nothing is done twice or lost.

Who hands the studies out is an argument (`Spreads`): `inference.ray_cluster` does it through Ray
Data. What one process does is here and needs nothing but a session.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from medprism.core.errors import CancelledError, LostProcessError, MedprismError, WriteError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.engines.loading import load
from medprism.inference.archive import (
    ArchiveReport,
    MaskFolder,
    Segmented,
    check_no_marks,
    find_studies,
    make_mask_folder,
    segment_study,
    stem_of,
)
from medprism.inference.archive_record import (
    ArchiveRecord,
    Line,
    failure_of,
    line_of,
    segmented_of,
    stamp_of,
)
from medprism.inference.attempts import begin_study, finish_study, forget_all
from medprism.inference.knowledge import Knowledge, teach
from medprism.inference.memory import Memory
from medprism.inference.session import Session
from medprism.inference.task_match import check_task
from medprism.io.reader import read_image

# What a worker answers about a study after which no other can be written, such as a full disk.
STOP: Final = "stop"


@dataclass(frozen=True, kw_only=True, eq=False)
class ArchiveOrder:
    """What every worker is told: the model by name or path, what is asked, where masks go.

    Paths are the same on all machines. `threads` are those of one worker; `task` is one of TP-Seg.
    """

    model: str
    knowledge: Knowledge
    masks: MaskFolder
    engine: str = "auto"
    threads: int = 1
    task: str | None = None

    def open(self) -> Session:
        """Load the model and hand it what is known; this limits the threads of the process.

        Raises:
            MedprismError: no such model, class or task, or references that cannot be used.
        """
        session = Session(load(self.model, self.engine, self.threads), memory=Memory.for_one_pass())
        if self.task is not None:
            check_task(session.model, self.task)
        teach(session, self.knowledge)
        return session

    def absolute(self) -> ArchiveOrder:
        """Return the order with paths that mean the same in any current folder."""
        examples = tuple(
            replace(
                one,
                image=one.image.absolute() if isinstance(one.image, Path) else one.image,
                mask=one.mask.absolute() if isinstance(one.mask, Path) else one.mask,
            )
            for one in self.knowledge.examples
        )
        model = Path(self.model)
        return replace(
            self,
            model=str(model.absolute()) if model.is_file() else self.model,
            knowledge=replace(self.knowledge, examples=examples),
            masks=replace(self.masks, path=self.masks.path.absolute()),
        )

    def question(self, session: Session) -> dict[str, Any]:
        """Return, as plain data, what decides about the masks."""
        knowledge, masks = self.knowledge, self.masks
        return {
            "weights": session.model.weights_hash,
            "classes": list(knowledge.classes),
            "label": knowledge.label,
            "references": _digest_of_examples(knowledge),
            "priority": list(masks.priority),
            "format": masks.format,
            # Without a key of its own a run hides identities otherwise than any other.
            "key of deidentification": masks.deidentify and masks.deidentify.uid("1.2"),
        }


@runtime_checkable
class Spreads(Protocol):
    """Hands studies out to workers and brings back their lines, in any order."""

    def spread(self, studies: Sequence[Path], order: ArchiveOrder) -> Iterator[Line]:
        """Yield a line for every study; the work of a worker that dies is given to another one.

        Raises:
            LostProcessError: no worker is left.
        """


@dataclass(frozen=True)
class ClusterReport(ArchiveReport):
    """What became of an archive; `before` studies of it were segmented by former runs.

    `seconds` is what this run took, from handing out the first study.
    """

    before: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Studies of this run, failed ones included, a second.

        >>> ClusterReport((), ((Path("a"), "it is empty"),), seconds=2.0).per_second
        0.5
        """
        done = len(self.segmented) - self.before + len(self.failed)
        return done / self.seconds if self.seconds else 0.0


class StudyWorker:
    """One process of a cluster: opens the model once, then segments one study after the other."""

    def __init__(self, order: ArchiveOrder) -> None:
        self._order = order
        self._session = order.open()
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def work(self, study: Path) -> Line:
        """Segment a study; whatever goes wrong with it is an answer and no error."""
        folder, stem = self._order.masks.path, stem_of(study)
        try:
            begin_study(folder, stem)
            image = read_image(study)
            found = segment_study(
                self._session, study, image, self._order.knowledge, self._order.masks
            )
            line = line_of(study, found, self._name)
        except WriteError as error:
            line = {**failure_of(study, str(error), self._name), STOP: True}
        except MedprismError as error:
            line = failure_of(study, str(error), self._name)
        # A bug that one study of a million meets must not cost the others.
        except Exception as error:
            reason = f"this is a bug in medprism: {type(error).__name__}: {error}"
            line = failure_of(study, reason, self._name)
        finish_study(folder, stem)
        return line


def segment_archive(
    folder: Path, order: ArchiveOrder, spreads: Spreads, progress: Progress | None = None
) -> ClusterReport:
    """Segment every study of a folder (see `find_studies`) that has no mask from this order yet.

    The folder of masks holds a record (`archive_record`): a run that was stopped or killed goes on
    where it was, and a study whose file has changed is done again. Failed studies are tried again.

    Raises:
        ConfigError: the masks that are there answer another question.
        ImageReadError: no study, or two whose masks would share a name.
        PromptError: clicks or boxes, which belong to one image.
        WriteError: masks cannot be written, or another program writes them.
        LostProcessError: the workers are gone; what is finished stays.
        CancelledError: the progress asked to stop.
    """
    progress, out = progress or SilentProgress(), order.masks.path
    check_no_marks(order.knowledge, folder)
    studies = find_studies(folder, out)
    make_mask_folder(out, folder)
    # Here too, so that what cannot work is said in one sentence before any worker begins.
    question = order.question(order.open())
    with ArchiveRecord(out, question) as record:
        done = record.finished(studies)
        left = [study for study in studies if study not in done]
        forget_all(out)
        started = time.monotonic()
        answers = _answers(left, order, spreads, record, progress, len(done)) if left else {}
        seconds = time.monotonic() - started
        # A worker that was killed may have left the beginning of a mask.
        forget_all(out)
    return _report(studies, {**done, **answers}, out, len(done), seconds)


def _answers(
    left: Sequence[Path],
    order: ArchiveOrder,
    spreads: Spreads,
    record: ArchiveRecord,
    progress: Progress,
    before: int,
) -> dict[Path, Line]:
    """Collect the lines of the studies that are left, and write them down."""
    by_name = {study.name: study for study in left}
    pace, answers = Pace(before, before + len(left)), dict[Path, Line]()
    for line in spreads.spread(left, order):
        study = by_name[str(line["study"])]
        if line.pop(STOP, False):
            raise WriteError(f"{study.name}: {line['failed']}")
        record.add(line)
        answers[study] = line
        done = before + len(answers)
        progress.report(done, before + len(left), f"{study.name}, {pace.describe(done)}")
        if progress.is_cancelled():
            raise CancelledError(
                f"stopped after {done} of {before + len(left)} studies; their masks are in "
                f"{order.masks.path}, and the same command goes on"
            )
    if len(answers) < len(left):
        raise LostProcessError(
            f"{len(left) - len(answers)} of {len(left)} studies were not answered by the cluster; "
            "the same command goes on with them"
        )
    return answers


class Pace:
    """How fast studies are done, and how long the rest will take."""

    def __init__(self, before: int, total: int) -> None:
        self._before, self._total = before, total
        self._started = time.monotonic()

    def describe(self, done: int, seconds: float | None = None) -> str:
        """Return rate and time left; `seconds` is the time since the start, by default now.

        >>> Pace(10, 7210).describe(20, 5.0)
        '2.0 a second, 59:55 left'
        >>> Pace(0, 100_000).describe(10, 5.0), Pace(0, 3).describe(3, 6.0)
        ('2.0 a second, 13:53:15 left', '0.5 a second, 0:00 left')
        """
        spent = time.monotonic() - self._started if seconds is None else seconds
        rate = (done - self._before) / max(spent, 1e-9)
        left = round((self._total - done) / max(rate, 1e-9))
        hours, minutes = divmod(left // 60, 60)
        clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
        return f"{rate:.1f} a second, {clock}:{left % 60:02d} left"


def _report(
    studies: Sequence[Path], lines: Mapping[Path, Line], out: Path, before: int, seconds: float
) -> ClusterReport:
    segmented: list[Segmented] = []
    failed: list[tuple[Path, str]] = []
    for study in studies:
        line = lines[study]
        if "failed" in line:
            failed.append((study, str(line["failed"])))
        else:
            segmented.append(segmented_of(line, study, out))
    return ClusterReport(tuple(segmented), tuple(failed), before, seconds)


def _digest_of_examples(knowledge: Knowledge) -> str | None:
    """Return what tells sets of examples apart: files by name, size and time, values by content."""
    if not knowledge.examples:
        return None
    sha = hashlib.sha256(str(knowledge.resample).encode())
    for example in knowledge.examples:
        for part in (example.image, example.mask):
            if isinstance(part, Path):
                sha.update(f"{part.resolve()}|{stamp_of(part)}".encode())
            else:
                voxels = part.voxels if isinstance(part, Image) else part
                sha.update(np.ascontiguousarray(voxels).tobytes())
    return sha.hexdigest()
