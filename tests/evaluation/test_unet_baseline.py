from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medprism.core.errors import ConfigError, StoreError
from medprism.data.appearance import AppearanceConfig
from medprism.data.augment import WarpConfig
from medprism.data.store import SliceStore
from medprism.evaluation.benchmark import Plan, run
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.evaluation.examiners import Examiner
from medprism.evaluation.unet_baseline import (
    TaskBatch,
    UNetBaseline,
    UNetRun,
    draw_batch,
    task_loss,
    train_rows,
    train_unet,
)
from medprism.objectives.cross_entropy import cross_entropy
from medprism.objectives.dice_loss import dice_loss
from tests.evaluation.phantoms import concept_table

STILL = WarpConfig(
    rotate=0.0,
    elastic=0.0,
    min_scale=0.95,
    max_scale=1.05,
    flip_vertical=0.0,
    flip_horizontal=0.0,
)
PLAIN = AppearanceConfig(tone=0.0, colour=0.0, blur=0.0, noise=0.0, invert_grey=0.0, to_grey=0.0)
RUN = UNetRun(
    steps=60, size=64, batch=4, peak_rate=1e-2, widths=(16, 32, 48), warp=STILL, appearance=PLAIN
)


def asked(store: SliceStore) -> tuple[Target, ...]:
    return targets_of(store, "scenes", concept_table("scenes"))


def test_a_trained_unet_segments_what_it_was_trained_on(scenes: SliceStore, tmp_path: Path) -> None:
    baseline = UNetBaseline(scenes, StoreReader(scenes), RUN)
    assert isinstance(baseline, Examiner)
    (cell,) = run(baseline, scenes, concept_table("scenes"), Plan(roles=("train",)), tmp_path)
    liver = [row.values[0] for row in cell.rows if row.concept == "liver"]
    kidney = [row.values[0] for row in cell.rows if row.concept == "left kidney"]
    assert min(*liver, *kidney) > 0.8
    assert {row.protocol for row in cell.rows} == {"semantic", "absent"}
    assert {row.method for row in cell.rows} == {"UNet"}
    assert all(row.presence is not None and row.milliseconds > 0 for row in cell.rows)


def test_a_set_without_train_slices_gives_no_rows(scenes: SliceStore, tmp_path: Path) -> None:
    baseline = UNetBaseline(scenes, StoreReader(scenes), RUN)
    plan = Plan(roles=("external",))
    (cell,) = run(baseline, scenes, concept_table("scenes"), plan, tmp_path)
    assert cell.rows == ()
    with pytest.raises(StoreError, match="no train slice"):
        train_unet(scenes, targets_of(scenes, "outside", concept_table("scenes")), RUN)


def test_training_is_repeatable_and_leaves_random_states_alone(scenes: SliceStore) -> None:
    short = replace(RUN, steps=3)
    before = torch.get_rng_state()
    first, second = (train_unet(scenes, asked(scenes), short) for _ in range(2))
    other = train_unet(scenes, asked(scenes), replace(short, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_minutes_become_steps_and_the_timed_ones_are_forgotten(
    scenes: SliceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 1.5])
    monkeypatch.setattr("medprism.evaluation.unet_baseline.time.perf_counter", lambda: next(ticks))
    timed = replace(RUN, steps=None, timed_steps=2, minutes=0.0875)
    model = train_unet(scenes, asked(scenes), timed)
    expected = train_unet(scenes, asked(scenes), replace(RUN, steps=4))
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_batches_depend_on_the_step_and_show_the_classes(scenes: SliceStore) -> None:
    rows = train_rows(scenes, "scenes")
    assert {scenes.rows[n].split for n in rows} == {"train"}
    first = draw_batch(scenes, rows, asked(scenes), RUN, 7)
    again = draw_batch(scenes, rows, asked(scenes), RUN, 7)
    other = draw_batch(scenes, rows, asked(scenes), RUN, 8)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert first.targets.shape == (4, 3, 64, 64)
    bright = [float(first.images.mean(1)[first.targets[:, k] > 0.99].mean()) for k in range(3)]
    assert bright == sorted(bright)


def test_unlabelled_classes_do_not_count(scenes: SliceStore) -> None:
    number = next(n for n, row in enumerate(scenes.rows) if row.case_id == "g")
    partial = tuple(replace(target, is_exhaustive=False) for target in asked(scenes))
    batch = draw_batch(scenes, [number], partial, RUN, 0)
    assert batch.is_labelled[0].tolist() == [1.0, 1.0, 0.0]
    exhaustive = draw_batch(scenes, [number], asked(scenes), RUN, 0)
    assert exhaustive.is_labelled[0].tolist() == [1.0, 1.0, 1.0]
    logits = torch.randn(4, 3, 64, 64)
    changed = logits.clone()
    changed[:, 2] += 3
    assert task_loss(logits, batch) == task_loss(changed, batch)
    assert task_loss(logits, exhaustive) != task_loss(changed, exhaustive)


def test_the_loss_equals_a_slow_loop() -> None:
    torch.manual_seed(3)
    logits, targets = torch.randn(2, 3, 5, 5), torch.rand(2, 3, 5, 5)
    labelled = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    batch = TaskBatch(torch.zeros(2, 3, 5, 5), targets, labelled)
    expected = [
        float(dice_loss(one[None], other[None]) + cross_entropy(one[None], other[None]))
        for image in range(2)
        for concept in range(3)
        if labelled[image, concept]
        for one, other in [(logits[image, concept], targets[image, concept])]
    ]
    assert float(task_loss(logits, batch)) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    "change", [{"minutes": 0.0}, {"batch": 0}, {"timed_steps": 0}, {"steps": 0}]
)
def test_settings_are_checked(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="a UNet needs minutes"):
        UNetRun(**change)  # type: ignore[arg-type]
