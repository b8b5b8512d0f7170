from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import InternalError, WriteError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.inference.session import Session
from medprism.inference.statistics import collect_statistics, write_statistics
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import SHAPE


def _bar(width: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[..., 10:14, 20 : 20 + width] = True
    return mask


def _session(image: Image, **masks: np.ndarray) -> tuple[Session, Labels]:
    session = Session(fake_model(), auto_zoom=False)
    session.set_image(image)
    for name, mask in masks.items():
        session.add_initial_seg_interaction(mask, label=name)
    return session, Labels({name: session.mask(name) for name in masks})


def test_a_picture_is_measured_in_pixels() -> None:
    picture = Image.from_array(np.zeros(SHAPE, np.uint8)).replace(source=Path("x/p.png"))
    session, labels = _session(picture, a=_bar(9), b=_bar(3))
    one, two = collect_statistics(session, labels.to_map())
    assert (one.image, one.label, one.number, one.unit) == ("p.png", "a", 1, "pixel")
    assert (one.voxels, one.area, one.pieces, one.volume_ml) == (36, 36.0, 1, None)
    assert (one.overlapped, two.overlapped) == (12, 0)
    assert one.longest == pytest.approx(np.hypot(9, 3), abs=0.5)


def test_a_volume_is_measured_in_millimetres() -> None:
    affine = np.eye(4)[[2, 1, 0, 3]] @ np.diag([4.0, 0.5, 2.0, 1.0])
    image = Image.from_array(np.zeros((3, *SHAPE), np.uint8), affine=affine)
    mask = _bar(5, (3, *SHAPE))
    mask[0] = False
    session, labels = _session(image, cyst=mask)
    (row,) = collect_statistics(session, labels.to_map())
    assert row.unit == "mm"
    assert row.area == pytest.approx(4 * 5 * 0.5 * 2.0)
    assert row.volume_ml == pytest.approx(2 * 20 * 4.0 * 0.5 * 2.0 / 1000)
    assert row.presence == session.presence("cyst")


def test_a_label_that_is_not_there_has_a_row_of_zeros() -> None:
    session, labels = _session(Image.from_array(np.zeros(SHAPE, np.uint8)), a=np.zeros(SHAPE, bool))
    (row,) = collect_statistics(session, labels.to_map())
    assert (row.voxels, row.area, row.longest, row.pieces, row.presence) == (0, 0.0, 0.0, 0, 0.0)


def test_tables_are_read_back_by_any_reader(tmp_path: Path) -> None:
    picture = Image.from_array(np.zeros(SHAPE, np.uint8))
    session, labels = _session(picture, **{'a "b", c': _bar(9)})
    rows = collect_statistics(session, labels.to_map())
    write_statistics(tmp_path / "s.csv", rows)
    (read,) = csv.DictReader((tmp_path / "s.csv").read_text().splitlines())
    assert read["label"] == 'a "b", c'
    assert float(read["area"]) == rows[0].area
    assert read["volume_ml"] == ""


def test_a_full_disk_keeps_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.csv").write_text("old")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match="No space left"):
        write_statistics(tmp_path / "s.csv", ())
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]
    assert (tmp_path / "s.csv").read_text() == "old"


def test_a_session_without_an_image_is_our_mistake() -> None:
    merged = Labels({"a": _bar(2)}).to_map()
    with pytest.raises(InternalError, match="without an image"):
        collect_statistics(Session(fake_model()), merged)
