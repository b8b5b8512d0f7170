from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.engines.graph_store import GraphStore
from medprism.engines.graphs import export_graph
from medprism.models.kprism.config import KPrismConfig, kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Segmenter
from tests.models.kprism.questions import draw_question, make_model, prompts_of

pytest.importorskip("openvino")

from medprism.engines.openvino_engine import OpenVinoSegmenter, has_bf16

# How far logits may lie apart: nano's are about 1 with random weights.
TOLERANCE = {"f32": 1e-4, "bf16": 0.1}


@pytest.fixture(scope="module")
def model() -> KPrism:
    return make_model(kprism_nano)


def without_fine_output(classes: int) -> KPrismConfig:
    config = kprism_nano(classes)
    return replace(config, decoder=replace(config.decoder, fine_hidden=0))


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@torch.no_grad()
def test_answers_are_those_of_the_reference(precision: str, model: KPrism) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bfloat16 arithmetic")
    engine = OpenVinoSegmenter(GraphStore(model, "nano"), precision, 1)
    assert isinstance(engine, Segmenter)
    question = draw_question(80, 48, requests=2, refs=2, clicks=2)
    features = engine.encode(question.image)
    expected = model.encode(question.image)
    for kind in ("refine-semantic", "in-context"):
        found = engine.decode(features, prompts_of(engine, question, kind))  # type: ignore[arg-type]
        wanted = model.decode(expected, prompts_of(model, question, kind))
        assert float((found.logits - wanted.logits).abs().max()) < TOLERANCE[precision]


@torch.no_grad()
def test_a_model_that_ignores_its_finest_maps_answers_too(tmp_path: Path) -> None:
    model = make_model(without_fine_output)
    engine = OpenVinoSegmenter(GraphStore(model, "coarse"), "f32", 1)
    question = draw_question(48, 80, requests=1, refs=1, clicks=1)
    for kind in ("semantic", "refine-in-context"):
        found = engine.decode(
            engine.encode(question.image),
            prompts_of(engine, question, kind),  # type: ignore[arg-type]
        )
        wanted = model.decode(model.encode(question.image), prompts_of(model, question, kind))
        assert float((found.logits - wanted.logits).abs().max()) < TOLERANCE["f32"]


def test_a_graph_is_traced_once_a_model(
    model: KPrism, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDPRISM_CACHE", str(tmp_path))
    traced: list[str] = []

    def trace(model: KPrism, graph: str) -> bytes:
        traced.append(graph)
        return export_graph(model, graph)

    first = GraphStore(model, "one", trace).read("encode")
    assert GraphStore(model, "one", trace).read("encode") == first
    assert traced == ["encode"]
    GraphStore(model, "two", trace).read("encode")
    assert traced == ["encode", "encode"]


def test_a_cache_that_cannot_be_written_is_named(
    model: KPrism,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("MEDPRISM_CACHE", str(blocked))
    store = GraphStore(model, "one", lambda model, graph: b"graph")
    assert store.read("encode") == b"graph"
    assert "traced at every start" in caplog.text
