from __future__ import annotations

from dataclasses import replace

import pytest

from medprism.evaluation.summary import average, block_of, pooled, summarise
from medprism.metrics.overlap import Overlap
from medprism.metrics.presence import presence_auc
from tests.evaluation.tables import make_cell, make_row


def test_figures_of_a_set_equal_a_slow_loop() -> None:
    cell = make_cell("one")
    summary = summarise(cell)
    for name, protocol in (("semantic", "semantic"), ("one-shot", "one-shot")):
        by_class: dict[str, list[float]] = {}
        for row in cell.rows:
            if row.protocol == protocol:
                by_class.setdefault(row.concept, []).append(row.values[0])
        means = {concept: sum(v) / len(v) for concept, v in by_class.items()}
        figure = summary.figures[name]
        assert figure.value == pytest.approx(sum(means.values()) / 3)
        assert (figure.num_classes, figure.num_pairs, figure.num_patients) == (3, 30, 5)
        for concept, mean in means.items():
            own = summary.by_class[concept][name]
            assert own.value == pytest.approx(mean)
            assert own.num_pairs == (6 if concept == "cyst" else 12)
    assert set(summary.figures) >= {"clicks@1", "NoC@95", "semantic+3"}
    assert "one-shot+1" not in summary.figures


def test_pooled_averages_weigh_classes_or_sets_alike() -> None:
    rows = {
        "a": [
            make_row("a", concept=c, values=(v,)) for c, v in (("x", 0.2), ("y", 0.4), ("y", 0.8))
        ],
        "b": [make_row("b", concept="x", values=(1.0,))],
    }
    cells = [replace(make_cell(name), rows=tuple(own)) for name, own in rows.items()]
    by_class = pooled("semantic", cells)
    by_set = pooled("semantic", cells, over_sets=True)
    assert by_class is not None
    assert by_set is not None
    assert by_class.value == pytest.approx((0.2 + 0.6 + 1.0) / 3)
    assert by_set.value == pytest.approx(((0.2 + 0.6) / 2 + 1.0) / 2)
    assert (by_class.num_sets, by_class.num_classes, by_class.num_pairs) == (2, 3, 4)
    assert pooled("one-shot", cells) is None
    assert average("semantic", []) is None


def test_sets_are_sorted_into_blocks() -> None:
    assert block_of(make_cell("a", num_images=20).facts) == "headline"
    assert block_of(make_cell("a", num_images=19).facts) == "small"
    assert block_of(make_cell("a", num_images=90, knows_patients=False).facts) == "patients unknown"


def test_volumes_are_scored_as_one_with_slices_that_lack_the_class() -> None:
    def slice_of(volume: str, protocol: str, counts: tuple[int, int, int]) -> object:
        return make_row(volume=volume, protocol=protocol, overlap=Overlap(*counts))

    rows = (
        slice_of("v", "semantic", (10, 12, 8)),
        slice_of("v", "semantic", (6, 6, 6)),
        slice_of("v", "absent", (5, 0, 0)),
        slice_of("v", "one-shot", (99, 99, 0)),
        slice_of("short", "semantic", (4, 4, 0)),
    )
    cell = replace(make_cell("a"), rows=rows)  # type: ignore[arg-type]
    summary = summarise(cell)
    assert summary.volume_dice == pytest.approx(2 * 14 / (21 + 18))
    assert summary.num_volumes == 1
    flat = summarise(make_cell("a"))
    assert (flat.volume_dice, flat.num_volumes) == (None, 0)


def test_absent_slices_give_false_alarms_and_presence() -> None:
    rows = (
        make_row(presence=0.9),
        make_row(presence=0.4),
        make_row(protocol="absent", presence=0.5, overlap=Overlap(3, 0, 0)),
        make_row(protocol="absent", presence=0.1, overlap=Overlap(0, 0, 0)),
        make_row(concept="kidney", presence=0.0),
    )
    summary = summarise(replace(make_cell("a"), rows=rows))
    assert summary.figures["found though absent"].value == 0.5
    assert summary.presence_auc == presence_auc([0.9, 0.4, 0.5, 0.1], [True, True, False, False])
    assert summarise(make_cell("a")).presence_auc is None


def test_failures_are_counted_where_the_clicks_were_given() -> None:
    rows = tuple(
        make_row(protocol="interactive", case=str(number), values=values)
        for number, values in enumerate([(0.5,) * 12 + (0.97,), (0.92,), (0.1, 0.3), (0.96,)])
    )
    cell = replace(make_cell("a"), rows=rows)
    assert summarise(cell).num_failed == {"failed@90": 2, "failed@95": 3}
    longer = replace(cell, plan={"clicks": 20})
    assert summarise(longer).num_failed == {
        "failed@90": 2,
        "failed@95": 3,
        "failed20@90": 1,
        "failed20@95": 2,
    }
    assert summarise(replace(cell, rows=())).num_failed == {}
