"""Datasets whose masks may lie on other grids than their images, and are then brought onto them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from medprism.data.case import Dataset


@runtime_checkable
class CanResample(Protocol):
    """A dataset that can bring its masks onto the grids of their images."""

    def with_resampling(self) -> Dataset:
        """Return the same dataset, which then does."""


def with_resampling(dataset: Dataset) -> Dataset:
    """Return a dataset that resamples masks of label numbers, by nearest neighbour in world mm.

    Masks of other kinds (colours, outlines) know no place in the world and stay as they are; so
    does a dataset that has no such masks (no `CanResample`).
    """
    return dataset.with_resampling() if isinstance(dataset, CanResample) else dataset
