"""The numerical function of the model, pinned by figures: weights and input are formulas.

Checkpoints mean what they meant when they were trained only while this function stays. The golden
figures are written by `python -m tests.models.kprism.test_frozen_function`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medprism.models.kprism.config import KPrismConfig, kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism

from .questions import KINDS, Question, answer, draw_question

GOLDEN = Path(__file__).with_name("golden_answers.json")
CONFIGS = {"compact": kprism_compact(3), "nano": kprism_nano(3)}


def wave(shape: torch.Size, phase: float) -> Tensor:
    """Return values in -1..1 that do not depend on any random generator."""
    count = math.prod(shape)
    return (torch.arange(count, dtype=torch.float64) * 0.7331 + phase).sin().reshape(shape)


def make_waving(config: KPrismConfig) -> KPrism:
    """Build a model in double precision whose weights are a formula of their names' order."""
    model = KPrism(config).double().eval()
    with torch.no_grad():
        for number, (name, parameter) in enumerate(sorted(model.named_parameters())):
            values = wave(parameter.shape, number * 1.618)
            if "norm" in name and name.endswith("weight"):
                values = 1 + 0.1 * values
            elif parameter.ndim > 1:
                values = values * math.sqrt(3 / parameter[0].numel())
            parameter.copy_(values)
    return model


def make_question() -> Question:
    """Return a question whose numbers are formulas too."""
    drawn = draw_question(32, 48, requests=2, refs=2, clicks=2, dtype=torch.float64)
    extent = torch.tensor([31.0, 47.0], dtype=torch.float64)
    return drawn.with_changed(
        image=wave(drawn.image.shape, 1.0),
        reference_image=wave(drawn.reference_image.shape, 2.0),
        reference_mask=0.5 + 0.5 * wave(drawn.reference_mask.shape, 3.0),
        position=(0.5 + 0.5 * wave(drawn.position.shape, 4.0)) * extent,
        previous=0.5 + 0.5 * wave(drawn.previous.shape, 5.0),
    )


def figures_of(name: str, kind: str) -> list[float]:
    """Return mean, deviation and five single logits of every output."""
    with torch.no_grad():
        decoded = answer(make_waving(CONFIGS[name]), make_question(), kind)
    figures: list[float] = []
    for logits in (*decoded.auxiliary, decoded.logits):
        flat = logits.flatten()
        picked = flat[torch.linspace(0, len(flat) - 1, 5).long()]
        figures += [float(flat.mean()), float(flat.std()), *picked.tolist()]
    return figures


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_computes_what_it_computed_when_training_began(name: str, kind: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name][kind]
    # Encodings of points and pixels are formed in float32, whose sines differ between machines.
    assert figures_of(name, kind) == pytest.approx(golden, abs=2e-5, rel=2e-5)


if __name__ == "__main__":
    answers = {n: {kind: figures_of(n, kind) for kind in KINDS} for n in CONFIGS}
    GOLDEN.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
