"""Datasets whose masks may lie on other grids than their images, and are then brought onto them."""

from __future__ import annotations

from dataclasses import replace

from medprism.data.case import Dataset
from medprism.data.datasets.folder import FolderDataset
from medprism.data.datasets.mask_kind import NumberMask
from medprism.data.datasets.published_dataset import PublishedDataset


def with_resampling(dataset: Dataset) -> Dataset:
    """Return a dataset that resamples masks of label numbers, by nearest neighbour in world mm.

    Masks of other kinds (colours, outlines) know no place in the world and stay as they are.
    """
    if isinstance(dataset, FolderDataset):
        return replace(dataset, resample=True)
    if isinstance(dataset, PublishedDataset) and isinstance(dataset.published.mask, NumberMask):
        mask = replace(dataset.published.mask, resample=True)
        return replace(dataset, published=replace(dataset.published, mask=mask))
    return dataset
