from __future__ import annotations

import pytest
import torch

from medprism.engines.torch_engine import TorchSegmenter
from medprism.models.kprism.config import kprism_nano
from medprism.models.segmenter import Segmenter
from tests.models.kprism.questions import draw_question, make_model, prompts_of


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-4), (torch.bfloat16, 0.1)], ids=["f64", "bf16"]
)
@torch.no_grad()
def test_another_precision_gives_the_same_answers(dtype: torch.dtype, tolerance: float) -> None:
    model = make_model(kprism_nano)
    engine = TorchSegmenter(model, torch.device("cpu"), dtype)
    assert isinstance(engine, Segmenter)
    question = draw_question(48, 32, refs=1)
    features = engine.encode(question.image)
    assert features.maps[0].dtype == dtype
    for kind in ("refine-semantic", "in-context"):
        prompts = prompts_of(engine, question, kind)  # type: ignore[arg-type]
        found = engine.decode(features, prompts)
        wanted = model.decode(model.encode(question.image), prompts_of(model, question, kind))
        assert found.logits.dtype == torch.float32
        assert float((found.logits - wanted.logits).abs().max()) < tolerance
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.gpu
@torch.no_grad()
def test_a_gpu_gives_the_same_answers() -> None:
    model = make_model(kprism_nano)
    engine = TorchSegmenter(model, torch.device("cuda"), torch.float32)
    question = draw_question(80, 48)
    features = engine.encode(question.image).select(torch.tensor([1, 0]))
    found = engine.decode(features, prompts_of(engine, question, "refine-in-context"))  # type: ignore[arg-type]
    wanted = model.decode(
        model.encode(question.image[[1, 0]]), prompts_of(model, question, "refine-in-context")
    )
    assert float((found.logits - wanted.logits).abs().max()) < 1e-3
