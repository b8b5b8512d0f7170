from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError, FormatVersionError, WriteError
from medprism.inference.archive import Segmented
from medprism.inference.archive_record import (
    RECORD_FILE,
    ArchiveRecord,
    failure_of,
    line_of,
    segmented_of,
)
from medprism.inference.statistics import LabelStatistics

QUESTION = {"weights": "ab", "classes": ["liver"], "format": None}
ROW = LabelStatistics("a.png", "liver", 1, 0.9, 40, 0, 1, "mm", 12.5, 6.0, 3.0, None)


def _study(folder: Path, name: str = "a.png", content: str = "pixels") -> Path:
    study = folder / "in" / name
    study.parent.mkdir(exist_ok=True)
    study.write_text(content)
    return study


def _found(study: Path, out: Path) -> Segmented:
    return Segmented(study, out / study.name, (ROW,), 12.34, ("look twice",))


def test_what_was_segmented_is_read_back_and_failures_are_tried_again(tmp_path: Path) -> None:
    study, bad = _study(tmp_path), _study(tmp_path, "b.png")
    (tmp_path / "a.png").touch()
    with ArchiveRecord(tmp_path, QUESTION) as record:
        assert record.finished([study, bad]) == {}
        record.add(line_of(study, _found(study, tmp_path), "here:1"))
        record.add(failure_of(bad, "it is empty", "here:1"))
    with ArchiveRecord(tmp_path, QUESTION) as record:
        found = record.finished([study, bad])
        assert list(found) == [study]
        again = segmented_of(found[study], study, tmp_path)
    assert again == Segmented(study, tmp_path / "a.png", (ROW,), 12.3, ("look twice",))


def test_a_changed_study_and_a_lost_mask_are_done_again(tmp_path: Path) -> None:
    study = _study(tmp_path)
    with ArchiveRecord(tmp_path, QUESTION) as record:
        record.add(line_of(study, _found(study, tmp_path), "here:1"))
        assert record.finished([study]) == {}
        (tmp_path / "a.png").touch()
        assert list(record.finished([study])) == [study]
        _study(tmp_path, content="other pixels")
        assert record.finished([study]) == {}


def test_masks_of_another_question_are_not_mixed_with_these(tmp_path: Path) -> None:
    with ArchiveRecord(tmp_path, QUESTION):
        pass
    other = {**QUESTION, "classes": ["spleen"], "weights": "cd"}
    with pytest.raises(ConfigError, match="other classes, weights; choose another folder"):
        ArchiveRecord(tmp_path, other)
    with ArchiveRecord(tmp_path, QUESTION):
        pass


def test_one_program_at_a_time_writes_into_a_folder(tmp_path: Path) -> None:
    with ArchiveRecord(tmp_path, QUESTION), pytest.raises(WriteError, match="another program"):
        ArchiveRecord(tmp_path, QUESTION)
    with pytest.raises(WriteError, match="cannot write"):
        ArchiveRecord(tmp_path / "nowhere", QUESTION)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_a_record_cut_anywhere_loses_the_last_lines_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("record")
    studies = [_study(folder, f"{number}.png") for number in range(4)]
    for study in studies:
        (folder / study.name).touch()
    with ArchiveRecord(folder, QUESTION) as record:
        for study in studies:
            record.add(line_of(study, _found(study, folder), "here:1"))
    path = folder / RECORD_FILE
    whole = path.read_bytes()
    kept = whole[: cut % (len(whole) + 1)]
    path.write_bytes(kept)
    # A last line that is whole but for its end counts.
    lines = [line for line in kept.split(b"\n") if line]
    complete = sum(1 for line in lines if line in whole.split(b"\n"))
    with ArchiveRecord(folder, QUESTION) as record:
        done = record.finished(studies)
        assert list(done) == studies[: max(0, complete - 1)]
        for study in studies:
            record.add(line_of(study, _found(study, folder), "here:2"))
    with ArchiveRecord(folder, QUESTION) as record:
        assert list(record.finished(studies)) == studies


def test_files_of_others_and_newer_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / RECORD_FILE
    for head, said in (
        ({"format": "something"}, "no medprism-archive file"),
        ({"format": "medprism-archive", "version": 99}, "version 99"),
    ):
        path.write_text(json.dumps(head) + "\n")
        with pytest.raises(FormatVersionError, match=said):
            ArchiveRecord(tmp_path, QUESTION)
    study = _study(tmp_path)
    with pytest.raises(FormatVersionError, match=r"damaged at a\.png"):
        segmented_of(
            {"study": "a.png", "mask": "a.png", "labels": [{"voxels": 3}]}, study, tmp_path
        )
