from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError
from medprism.evaluation.bench.official.sam2 import Sam2Weights
from medprism.evaluation.cases import Target
from tests.evaluation.bench.official.packages import order_of


def test_a_checkpoint_is_hashed_and_known_by_its_configuration(tmp_path: Path) -> None:
    order = order_of("sam2", "python3", tmp_path, config="configs/sam2/sam2_hiera_s.yaml")
    weights = Sam2Weights.read(order, ConceptTable(()))
    assert weights.settings == {"config": "configs/sam2/sam2_hiera_s.yaml"}
    assert weights.knows(Target("any", "thing", (1,), False))
    order.weights.write_text("other weights")
    assert Sam2Weights.read(order, ConceptTable(())).digest != weights.digest


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(CheckpointError, match="is no file"):
            Sam2Weights.read(order_of("sam2", "p", tmp_path, weights=place), ConceptTable(()))
