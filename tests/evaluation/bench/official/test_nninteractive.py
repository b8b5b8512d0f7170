from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError, ConfigError
from medprism.core.image import Image
from medprism.evaluation.bench.official.nninteractive import NnInteractiveWeights, to_volume
from medprism.evaluation.cases import Target
from tests.evaluation.bench.official.packages import nninteractive_folder, order_of

NOTHING = ConceptTable(())


def test_one_fold_is_read_and_hashed_with_what_describes_it(tmp_path: Path) -> None:
    order = order_of("nninteractive", "python3", tmp_path)
    weights = NnInteractiveWeights.read(order, NOTHING)
    assert weights.settings == {"folds": ["0"], "checkpoint": "checkpoint_final.pth"}
    assert weights.knows(Target("any", "thing", (1,), False))
    (tmp_path / "inference_session_class.json").write_text('{"point_radius": 6}')
    assert NnInteractiveWeights.read(order, NOTHING).digest != weights.digest


def test_several_folds_must_be_chosen_from(tmp_path: Path) -> None:
    folder = nninteractive_folder(tmp_path, folds=("0", "1"))
    with pytest.raises(ConfigError, match="has folds 0, 1"):
        NnInteractiveWeights.read(
            order_of("nninteractive", "python3", tmp_path, weights=folder), NOTHING
        )
    chosen = order_of("nninteractive", "python3", tmp_path, weights=folder, folds=("1",))
    assert NnInteractiveWeights.read(chosen, NOTHING).settings["folds"] == ["1"]


def test_a_folder_of_something_else_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"dataset\.json cannot be read"):
        NnInteractiveWeights.read(
            order_of("nninteractive", "python3", tmp_path, weights=tmp_path), NOTHING
        )


def test_a_slice_is_a_volume_of_one_slice() -> None:
    plane = np.arange(24, dtype=np.uint16).reshape(4, 6) * 100
    volume = to_volume(Image.from_array(plane))
    assert volume.shape == (1, 1, 4, 6) and volume.flags.c_contiguous
    np.testing.assert_array_equal(volume[0, 0], plane)
