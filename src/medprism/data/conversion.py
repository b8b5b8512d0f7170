"""Turn pieces of datasets into stored bytes, in worker processes, handed over in order."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from os import _exit
from typing import Final

import cv2
import numpy as np

from medprism.core.errors import MedprismError, StoreError
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule
from medprism.data.case import Case
from medprism.data.piece import Piece
from medprism.data.slice_row import SliceRow
from medprism.data.stored_slice import read_image, read_planes, stored_pixels, stored_planes

# Starting processes takes about this long, so shorter work is done without them.
PATIENCE_S: Final = 1.0


@dataclass(frozen=True)
class Task:
    """A piece, and how its slices are stored (see `PrepareConfig`); `job` is whose it is."""

    job: int
    piece: Piece
    long_side: int
    labelled_only: bool


@dataclass(frozen=True)
class Failure:
    """A case (a picture or a whole volume) that could not be read: its file and why."""

    case: str
    file: str
    reason: str


@dataclass(frozen=True, eq=False)
class Converted:
    """The records of a piece and their rows; none where it failed. Offsets begin at 0."""

    content: bytearray
    rows: tuple[SliceRow, ...]
    failure: Failure | None = None


def convert(task: Task) -> Converted:
    """Read a piece and return its records; what cannot be read is a failure, not an error.

    A volume of which one slice fails is left out as a whole.
    """
    content = bytearray()
    rows: list[SliceRow] = []
    former: Image | None = None
    bounds = (0.0, 255.0)
    try:
        for case in task.piece.read():
            if case.is_unlabelled and task.labelled_only:
                continue
            image = read_image(case)
            if image is not former:
                # Percentiles of a volume are taken once, not once a slice.
                former, bounds = image, choose_rule(image).bounds(image)
            rows.append(_append(content, case, image, bounds, task.long_side))
    except MedprismError as error:
        return Converted(bytearray(), (), _failure(task.piece, error))
    return Converted(content, tuple(rows))


def _append(
    content: bytearray, case: Case, image: Image, bounds: tuple[float, float], long_side: int
) -> SliceRow:
    offset = len(content)
    planes = read_planes(case, image)
    shape = image.voxels.shape[1:3]
    source_shape = (int(shape[0]), int(shape[1]))
    pixels = stored_pixels(image, case.plane, long_side, bounds)
    stored = stored_planes(planes, source_shape, long_side, case)
    content += pixels.tobytes()
    for plane in stored.values():
        content += np.packbits(plane).tobytes()
    return SliceRow(
        dataset=case.dataset,
        case_id=case.case_id,
        patient=case.patient,
        split=case.split,
        role=case.role,
        modality=case.modality,
        slice_index=case.slice_index,
        relative_position=case.relative_position,
        view=case.view,
        spacing=case.spacing,
        plane=case.plane,
        shape=(int(pixels.shape[0]), int(pixels.shape[1]), int(pixels.shape[2])),
        source_shape=source_shape,
        areas={label_id: int(plane.sum()) for label_id, plane in stored.items()},
        content=f"{image.digest}:{case.plane}",
        offset=offset,
        is_unlabelled=case.is_unlabelled,
    )


def _failure(piece: Piece, error: MedprismError) -> Failure:
    reason = str(error)
    files = [str(path) for path in piece.files]
    # The longest, since the path of an image may begin that of its mask.
    named = max((file for file in files if file in reason), key=len, default=None)
    return Failure(piece.name, named or next(iter(files), ""), reason)


Result = tuple[Task, Converted]


def convert_in_order(tasks: Iterator[Task], workers: int) -> Generator[Result, None, None]:
    """Yield every task with what became of it, in the order of the tasks.

    With several workers up to two tasks a worker are under way or wait for their turn, so that
    memory holds at most one image a worker and the stored bytes of that window. Short work is done
    in this process. The processes end with the iterator (close it), and with this process.

    Raises:
        StoreError: a worker was killed, or memory ran out.
    """
    started = time.monotonic()
    try:
        for task in tasks:
            yield task, convert(task)
            if workers > 1 and time.monotonic() - started >= PATIENCE_S:
                break
        else:
            return
        yield from _convert_apart(tasks, workers)
    except (BrokenProcessPool, MemoryError) as error:
        raise StoreError(
            f"preparing with {workers} worker(s) ran out of memory or a worker was killed "
            f"({error}); prepare again with fewer workers to go on where it stopped"
        ) from error


def _convert_apart(tasks: Iterator[Task], workers: int) -> Iterator[Result]:
    # Spawned, not forked: the parent may hold threads of torch or cv2.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)
    window: deque[tuple[Task, Future[Converted]]] = deque()

    def first() -> Result:
        task, future = window.popleft()
        return task, future.result()

    try:
        for task in tasks:
            window.append((task, pool.submit(convert, task)))
            if len(window) == 2 * workers:
                yield first()
        while window:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Prepare a worker: one thread, Ctrl-C is for the parent, and no life without it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    # A worker waits for tasks on a pipe that it holds itself, so it would never see the end of it.
    _exit(1)
