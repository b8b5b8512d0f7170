"""Runs as functions: each returns the whole configuration of a training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from medprism.training.config import PhaseConfig, PretrainedTrunk, StageConfig, TrainConfig


def kprism_compact(steps: int) -> TrainConfig:
    """Return the shipped checkpoint's run: 128 pixels first, then 256.

    A step at 128 costs about a third of one at 256, so most requests are seen small. The image
    encoder's trunk starts from ImageNet: the first 900 steps so scored more on `val` than a whole
    run from random weights (docs/results.md).
    """
    return TrainConfig(
        preset="kprism-compact",
        steps=steps,
        stages=(
            StageConfig(size=128, share=0.6, requests=16),
            StageConfig(size=256, share=0.4, requests=12),
        ),
        pretrained=PretrainedTrunk(),
    )


def kprism_compact_continued(steps: int) -> TrainConfig:
    """Return a run that goes on from trained weights, on other batches.

    The class table learns fast and classes are asked for a little more often: at the run's own
    rate its rows hardly leave their random start (standard deviation 0.996 of 1 after 4,500 steps).
    """
    return TrainConfig(
        preset="kprism-compact",
        steps=steps,
        stages=(
            StageConfig(size=128, share=0.35, requests=16),
            StageConfig(size=256, share=0.65, requests=12),
        ),
        seed=3,
        odds=(0.35, 0.25, 0.4),
        peak_rate=5e-4,
        self_reference_until=0.0,
        class_rate=8.0,
        pretrained=PretrainedTrunk(),
    )


def kprism_base(steps: int) -> TrainConfig:
    """Return the paper's run at 512 pixels [KPrism, 4.1]; needs a GPU."""
    return TrainConfig(
        preset="kprism-base",
        steps=steps,
        stages=(StageConfig(size=512, share=1.0, requests=16),),
        peak_rate=1e-4,
        warmup_share=10 / 75,
        weight_decay=0.0,
        clip=3.0,
        output_weights=(1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        self_reference_until=0.0,
    )


def kprism_nano(steps: int) -> TrainConfig:
    """Return a run of seconds, for tests."""
    return TrainConfig(
        preset="kprism-nano",
        steps=steps,
        stages=(StageConfig(size=64, share=1.0, requests=8),),
        peak_rate=3e-3,
        ema=0.98,
        self_reference_until=0.0,
        bfloat16=False,
    )


def tpseg_compact(steps: int) -> TrainConfig:
    """Return a run of TP-Seg on ordinary computers: 128 pixels, then 256."""
    return TrainConfig(
        preset="tpseg-compact",
        steps=steps,
        stages=(
            StageConfig(size=128, share=0.6, requests=16),
            StageConfig(size=256, share=0.4, requests=8),
        ),
        odds=(1.0, 0.0, 0.0),
        phases=PhaseConfig(),
    )


def tpseg_base(steps: int) -> TrainConfig:
    """Return the release's run at 512 pixels [TPSeg]; needs a GPU, and --trunk for its trunk."""
    return TrainConfig(
        preset="tpseg-base",
        steps=steps,
        stages=(StageConfig(size=512, share=1.0, requests=8),),
        odds=(1.0, 0.0, 0.0),
        peak_rate=5e-4,
        weight_decay=5e-4,
        phases=PhaseConfig(),
    )


def tpseg_nano(steps: int) -> TrainConfig:
    """Return a run of seconds, for tests."""
    return TrainConfig(
        preset="tpseg-nano",
        steps=steps,
        stages=(StageConfig(size=64, share=1.0, requests=8),),
        odds=(1.0, 0.0, 0.0),
        peak_rate=3e-3,
        ema=0.98,
        bfloat16=False,
        phases=PhaseConfig(),
    )


def iris_compact_2d(steps: int) -> TrainConfig:
    """Return a run of Iris on slices: by one reference each, 128 pixels, then 256."""
    return TrainConfig(
        preset="iris-compact-2d",
        steps=steps,
        stages=(
            StageConfig(size=128, share=0.6, requests=16),
            StageConfig(size=256, share=0.4, requests=12),
        ),
        odds=(0.0, 1.0, 0.0),
        peak_rate=2e-3,
        self_reference_until=0.0,
    )


def iris_kprism2d(steps: int) -> TrainConfig:
    """Return the same run for what K-Prism's tables call Iris."""
    return replace(iris_compact_2d(steps), preset="iris-kprism2d", peak_rate=8e-4)


def iris_nano_2d(steps: int) -> TrainConfig:
    """Return a run of seconds, for tests."""
    return TrainConfig(
        preset="iris-nano-2d",
        steps=steps,
        stages=(StageConfig(size=64, share=1.0, requests=8),),
        odds=(0.0, 1.0, 0.0),
        peak_rate=4e-3,
        ema=0.9,
        self_reference_until=0.0,
        bfloat16=False,
    )


RECIPES: Final[dict[str, Callable[[int], TrainConfig]]] = {
    "kprism-compact": kprism_compact,
    "kprism-compact-continued": kprism_compact_continued,
    "kprism-base": kprism_base,
    "kprism-nano": kprism_nano,
    "iris-compact-2d": iris_compact_2d,
    "iris-kprism2d": iris_kprism2d,
    "iris-nano-2d": iris_nano_2d,
    "tpseg-compact": tpseg_compact,
    "tpseg-base": tpseg_base,
    "tpseg-nano": tpseg_nano,
}
