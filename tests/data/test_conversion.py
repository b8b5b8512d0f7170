from __future__ import annotations

import gc
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import ImageReadError, StoreError
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.data import conversion
from medprism.data.case import Case
from medprism.data.conversion import Converted, Task, convert, convert_in_order
from medprism.data.datasets.adapters import open_dataset
from medprism.data.piece import Piece, pieces_of
from tests.data.phantoms import comma, picture, write_volume, write_volumes

SHAPE = (20, 30)


def _cases(number: int) -> Iterator[Case]:
    mask = comma(SHAPE, 2, 3 + number, 14)
    image = Image.from_array(picture(SHAPE, mask, number))
    yield Case("set", f"c{number}", None, "train", "train", image, {1: mask})


def _broken(number: int, file: str) -> Iterator[Case]:
    yield from _cases(number)
    raise ImageReadError(f"{file} is torn; copy it again")


def _killed() -> Iterator[Case]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield from _cases(0)


def _hungry() -> Iterator[Case]:
    yield from _cases(0)
    raise MemoryError("no room for 9 GB")


def _task(
    read: Callable[[], Iterator[Case]], files: tuple[str, ...] = (), *, labelled_only: bool = False
) -> Task:
    return Task(0, Piece("c", tuple(map(Path, files)), read), 64, labelled_only)


def _plain(result: Converted) -> tuple[object, ...]:
    return bytes(result.content), result.rows, result.failure


def test_a_volume_becomes_records_by_one_rule_and_without_gaps(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set", ["a"])
    dataset = open_dataset(tmp_path / "set", tmp_path / "splits")
    (piece,) = pieces_of(dataset)
    result = convert(Task(0, piece, 384, False))
    assert [row.is_unlabelled for row in result.rows] == [True, *[False] * 4, True]
    assert result.rows[0].offset == 0
    assert result.rows[-1].offset + result.rows[-1].num_bytes == len(result.content)
    volume = next(dataset.cases()).image
    assert isinstance(volume, Image)
    bounds = choose_rule(volume).bounds(volume)
    for row in result.rows:
        pixels = np.frombuffer(result.content, np.uint8, row.image_bytes, row.offset)
        expected = np.rint(to_eight_bit_range(volume.voxels[row.plane], bounds))
        np.testing.assert_array_equal(pixels.reshape(row.shape), expected)
        assert row.content == f"{volume.digest}:{row.plane}"
    labelled = convert(Task(0, piece, 384, True))
    assert [row.plane for row in labelled.rows] == [1, 2, 3, 4]


def test_what_cannot_be_read_is_a_failure_that_names_the_file() -> None:
    files = ("in/a", "in/a_seg", "in/b")
    result = convert(_task(partial(_broken, 1, "in/a_seg"), files))
    assert not result.content
    assert result.rows == ()
    assert result.failure is not None
    assert (result.failure.case, result.failure.file) == ("c", "in/a_seg")
    assert result.failure.reason == "in/a_seg is torn; copy it again"
    elsewhere = convert(_task(partial(_broken, 1, "header"), files)).failure
    assert elsewhere is not None
    assert elsewhere.file == "in/a"


def test_workers_hand_over_in_order_what_one_process_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [_task(partial(_cases, number)) for number in range(7)]
    tasks[3] = _task(partial(_broken, 3, "x"), ("x",))
    alone = [_plain(result) for _, result in convert_in_order(iter(tasks), 1)]
    monkeypatch.setattr(conversion, "PATIENCE_S", 0.0)
    together = list(convert_in_order(iter(tasks), 2))
    assert [_plain(result) for _, result in together] == alone
    assert [task for task, _ in together] == tasks
    assert [rows[0].case_id for _, rows, _ in alone if rows] == ["c0", "c1", "c2", "c4", "c5", "c6"]


def test_a_killed_worker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "PATIENCE_S", 0.0)
    tasks = iter([_task(partial(_cases, 0)), _task(_killed), _task(partial(_cases, 1))])
    results = convert_in_order(tasks, 2)
    next(results)
    with pytest.raises(StoreError, match="fewer workers to go on where it stopped") as caught:
        next(results)
    assert "\n" not in str(caught.value)


def test_lack_of_memory_is_no_damage_of_a_file() -> None:
    with pytest.raises(StoreError, match="no room for 9 GB"):
        next(convert_in_order(iter([_task(_hungry)]), 1))


class _Inline:
    """A pool that works at once, in this process, and counts what is still to be fetched."""

    def __init__(self, workers: int, **options: object) -> None:
        assert set(options) == {"mp_context", "initializer"}

    def submit(self, work: Callable[[Task], Converted], task: Task) -> Future[Converted]:
        future: Future[Converted] = Future()
        future.set_result(work(task))
        return future

    def shutdown(self, *, cancel_futures: bool) -> None:
        assert cancel_futures


@pytest.mark.parametrize("workers", [2, 5])
def test_never_more_than_two_pieces_a_worker_are_under_way(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(conversion, "PATIENCE_S", 0.0)
    monkeypatch.setattr(conversion, "ProcessPoolExecutor", _Inline)
    begun = 0

    def tasks() -> Iterator[Task]:
        nonlocal begun
        for number in range(30):
            begun += 1
            yield _task(partial(_cases, number % 9))

    ahead = [begun - done for done, _ in enumerate(convert_in_order(tasks(), workers))]
    assert len(ahead) == 30
    assert max(ahead) == 2 * workers


def test_short_work_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "PATIENCE_S", 60.0)
    monkeypatch.setattr(conversion, "ProcessPoolExecutor", None)
    tasks = [_task(partial(_cases, number)) for number in range(5)]
    assert len(list(convert_in_order(iter(tasks), 2))) == 5


def test_memory_holds_one_volume_however_many_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "volumes"
    for number in range(6):
        pair = [folder / f"v{number}_{kind}.nii" for kind in ("img", "seg")]
        write_volume(pair[0], pair[1], number, shape=(20, 96, 80))
    peaks = []
    # What was there before needs no second look.
    gc.freeze()
    pieces = list(pieces_of(open_dataset(tmp_path / "set", tmp_path / "splits")))
    for count in (1, 6):
        tracemalloc.start()
        tasks = (Task(0, piece, 96, False) for piece in pieces[:count])
        size = 0
        for _, result in convert_in_order(tasks, 1):
            size += len(result.content)
            # The checks of shapes in tests leave cycles, which after many tests live long.
            gc.collect()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > count * 20 * 96 * 80
    gc.unfreeze()
    assert peaks[1] < peaks[0] + 20 * 96 * 80 * 4
