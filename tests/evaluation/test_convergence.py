from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import WriteError
from medprism.evaluation.convergence import curves_of, draw_curves, mean_curve
from medprism.evaluation.summary import pooled
from tests.evaluation.tables import make_cell, make_row


def test_curves_pass_through_the_headline_figures() -> None:
    cells = [
        make_cell("a"),
        make_cell("b"),
        make_cell("tiny", num_images=3),
        make_cell("x", role="unseen"),
        make_cell("a", method="GrabCut", protocols=("interactive",)),
    ]
    curves = {(c.role, c.method, c.protocol): c for c in curves_of(cells)}
    assert list(curves) == [
        ("train", "GrabCut", "interactive"),
        ("train", "ours", "interactive"),
        ("train", "ours", "refine-semantic"),
        ("unseen", "ours", "interactive"),
        ("unseen", "ours", "refine-semantic"),
    ]
    clicked = curves["train", "ours", "interactive"]
    assert clicked.clicks == tuple(range(1, 11))
    assert clicked.num_pairs == 60
    for number in (1, 3, 5, 10):
        headline = pooled(f"clicks@{number}", cells[:2])
        assert headline is not None
        assert clicked.dice[number - 1] == pytest.approx(headline.value)
    refined = curves["train", "ours", "refine-semantic"]
    assert refined.clicks == (0, 1, 2, 3)
    one = pooled("semantic+1", cells[:2])
    assert one is not None
    assert refined.dice[1] == pytest.approx(one.value)


def test_the_curve_of_some_rows_weighs_classes_alike_and_keeps_last_values() -> None:
    rows = [
        make_row(concept="liver", values=(0.2, 0.6)),
        make_row(concept="liver", case="b", values=(0.4,)),
        make_row(concept="polyp", values=(0.5, 0.6, 0.9)),
    ]
    assert mean_curve(rows, 4) == pytest.approx((0.4, 0.55, 0.7, 0.7))


def test_the_picture_is_drawn_or_nothing_is_left(tmp_path: Path) -> None:
    curves = curves_of([make_cell("a"), make_cell("x", role="external")])
    draw_curves(curves, tmp_path / "plot.png")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture is not None
    assert picture.shape[1] > 2 * picture.shape[0]
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 10
    with pytest.raises(WriteError):
        draw_curves(curves, tmp_path / "nowhere" / "plot.png")
