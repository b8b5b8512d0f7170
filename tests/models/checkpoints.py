"""Checkpoints for tests: a tiny one that is quick to damage, and a whole nano."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from medprism.core.concepts import Concept, ConceptTable
from medprism.models.checkpoint import CheckpointInfo, save_checkpoint
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism

CONCEPTS = ConceptTable(
    (
        Concept("hook", ("crook",), {"phantoms": (1,)}),
        Concept("flag", (), {"phantoms": (2,), "others": (3, 4)}),
        Concept("spoon"),
    )
)


def make_info(name: str = "kprism-nano", architecture: str = "kprism") -> CheckpointInfo:
    """Return what a nano checkpoint says about itself."""
    return CheckpointInfo(
        name=name,
        architecture=architecture,
        config=kprism_nano(len(CONCEPTS)).to_json(),
        concepts=CONCEPTS,
        preprocessing={"long_side": 64},
        training={"sets": [{"name": "phantoms", "licence": "CC0"}]},
        metrics={"dice": 0.5},
        card={"use": "tests"},
        code_version="0.1.0",
    )


def tiny_tensors() -> dict[str, Tensor]:
    """Return a few tensors of every kind that occurs: matrix, vector, scalar, counter, empty."""
    return {
        "decoder.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7,
        "decoder.bias": torch.tensor([0.5, -0.25], dtype=torch.float16),
        "norm.num_batches_tracked": torch.tensor(3),
        "temperature": torch.tensor(0.125),
        "nothing": torch.zeros(0, 4),
    }


def save_nano(path: Path, seed: int = 1) -> KPrism:
    """Write a whole nano with random weights and return the model."""
    torch.manual_seed(seed)
    model = KPrism(kprism_nano(len(CONCEPTS))).eval()
    save_checkpoint(path, make_info(), model.state_dict())
    return model


if __name__ == "__main__":
    golden = Path(__file__).parent / "golden" / "checkpoint-version-1.safetensors"
    save_checkpoint(golden, make_info(), tiny_tensors())
    text = json.dumps(make_info().to_json(), indent=1) + "\n"
    golden.with_suffix(".json").write_text(text, encoding="utf-8")
