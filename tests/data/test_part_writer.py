from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import WriteError
from medprism.data.case import DatasetInfo
from medprism.data.conversion import Converted, Failure
from medprism.data.part_writer import PartWriter, whole_entry
from medprism.data.slice_row import SliceRow

INFO = DatasetInfo("set", "Set", "train", None, {})
FAILED = Converted(bytearray(), (), Failure("c", "c.png", "c.png is torn"))


def _piece(seed: int, slices: int = 2) -> Converted:
    row = SliceRow(
        dataset="set",
        case_id=f"p{seed}",
        patient=None,
        split="train",
        role="train",
        modality=None,
        slice_index=None,
        relative_position=None,
        view=None,
        spacing=None,
        plane=0,
        shape=(3, 5, 1),
        source_shape=(3, 5),
        areas={4 + seed: 7},
        content=f"{seed:03d}:0",
        offset=0,
    )
    rows = [replace(row, case_id=f"p{seed}_{k}", is_unlabelled=k == 1) for k in range(slices)]
    return Converted(bytearray(bytes([seed]) * 17 * slices), tuple(rows))


PIECES = [_piece(0), _piece(1, 1), FAILED, _piece(3, 3), _piece(4, 1)]


def _write(out: Path, pieces: list[Converted]) -> dict[str, object]:
    with closing(PartWriter(out, "set-1")) as writer:
        for piece in pieces:
            writer.add(piece)
        return writer.finish(INFO)


def _files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_a_finished_part_has_its_entry_and_nothing_else_stays(tmp_path: Path) -> None:
    entry = _write(tmp_path, PIECES)
    assert entry["part"] == "set-1"
    assert (entry["num_slices"], entry["num_unlabelled"]) == (5, 2)
    assert entry["num_bytes"] == 17 * 7 == (tmp_path / "set-1.bin").stat().st_size
    assert entry["failures"] == [{"case": "c", "file": "c.png", "reason": "c.png is torn"}]
    info = entry["info"]
    assert isinstance(info, dict)
    assert info["classes"] == {str(4 + k): f"label {4 + k}" for k in (0, 1, 3, 4)}
    assert sorted(_files(tmp_path)) == ["set-1.bin", "set-1.json"]
    assert whole_entry(tmp_path, "set-1") == entry
    assert whole_entry(tmp_path, "set-2") is None
    (tmp_path / "set-1.bin").write_bytes(b"short")
    assert whole_entry(tmp_path, "set-1") is None


@pytest.mark.parametrize("stop", range(len(PIECES) + 1))
def test_a_part_goes_on_where_it_stopped(tmp_path: Path, stop: int) -> None:
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    whole.mkdir()
    halted.mkdir()
    entry = _write(whole, PIECES)
    with closing(PartWriter(halted, "set-1")) as writer:
        for piece in PIECES[:stop]:
            writer.add(piece)
    assert len(_files(halted)) == (2 if stop else 0)
    with closing(PartWriter(halted, "set-1")) as writer:
        assert writer.num_pieces == stop
        assert writer.failures == ((FAILED.failure,) if stop > 2 else ())
        assert writer.is_empty == (stop == 0)
        for piece in PIECES[stop:]:
            writer.add(piece)
        assert writer.finish(INFO) == entry
    assert _files(halted) == _files(whole)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_a_crash_leaves_of_the_files_the_part_becomes_whole(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        entry = _write(out, PIECES)
        expected = _files(out)
        for path in out.iterdir():
            path.unlink()
        with closing(PartWriter(out, "set-1")) as writer:
            for piece in PIECES:
                writer.add(piece)
        for path in sorted(out.iterdir()):
            content = path.read_bytes()
            at = data.draw(st.integers(0, len(content)))
            # Blocks that were never written read as zeros after a loss of power.
            tail = data.draw(st.sampled_from([b"", b"\0" * (len(content) - at), b"\n{}\n"]))
            path.write_bytes(content[:at] + tail)
        with closing(PartWriter(out, "set-1")) as writer:
            assert 0 <= writer.num_pieces <= len(PIECES)
            for piece in PIECES[writer.num_pieces :]:
                writer.add(piece)
            assert writer.finish(INFO) == entry
        assert _files(out) == expected


def test_records_without_a_place_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="prepare again to go on where it stopped"):
        PartWriter(tmp_path / "nowhere", "set-1")


def test_a_part_without_any_piece_is_whole(tmp_path: Path) -> None:
    entry = _write(tmp_path, [])
    assert (entry["num_slices"], entry["num_bytes"]) == (0, 0)
    assert whole_entry(tmp_path, "set-1") == entry
