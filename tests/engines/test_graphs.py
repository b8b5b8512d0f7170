from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.engines.graphs import (
    ENCODE,
    ENCODE_REFERENCES,
    REFERENCE_OUTPUTS,
    decode_inputs,
    decode_name,
    export_graph,
    graph_names,
    input_names,
)
from medprism.models.kprism.config import EFFICIENTNET_LITE0, EncoderConfig, kprism_nano
from medprism.models.kprism.encoder import PyramidEncoder
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Prompts
from tests.models.kprism.questions import KINDS, Question, draw_question, make_model, prompts_of

onnxruntime = pytest.importorskip("onnxruntime")
Run = Callable[[str, dict[str, Tensor]], list[np.ndarray]]


@pytest.fixture(scope="module")
def model() -> KPrism:
    return make_model(kprism_nano)


@pytest.fixture(scope="module")
def run(model: KPrism) -> Run:
    """Run a graph in ONNX Runtime; each is exported once."""
    sessions: dict[str, onnxruntime.InferenceSession] = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def run_graph(graph: str, named: dict[str, Tensor]) -> list[np.ndarray]:
        if graph not in sessions:
            content = export_graph(model, graph)
            sessions[graph] = onnxruntime.InferenceSession(content, options)
        given = {name: tensor.numpy() for name, tensor in named.items()}
        return list(sessions[graph].run(None, given))

    return run_graph


# Other than what was traced: sizes, an odd number of cells, numbers of everything.
QUESTIONS = (
    draw_question(112, 80, requests=1, refs=3, clicks=1),
    draw_question(48, 80, requests=3, refs=1, clicks=6, seed=9),
)


def _worst(expected: Tensor, found: np.ndarray) -> float:
    assert tuple(expected.shape) == found.shape
    return float(np.abs(expected.numpy() - found).max())


@pytest.mark.parametrize("question", QUESTIONS, ids=["high", "wide"])
@torch.no_grad()
def test_encoders_agree_at_other_sizes_and_numbers(
    question: Question, model: KPrism, run: Run
) -> None:
    maps = run(ENCODE, {"image": question.image})
    expected = model.encode(question.image).maps
    assert max(_worst(a, b) for a, b in zip(expected, maps, strict=True)) < 1e-4
    material = (question.reference_image, question.reference_mask, question.reference_valid)
    named = dict(zip(input_names(ENCODE_REFERENCES), material, strict=True))
    found = run(ENCODE_REFERENCES, named)
    wanted = [getattr(model.encode_references(*material), name) for name in REFERENCE_OUTPUTS]
    assert max(_worst(a, b) for a, b in zip(wanted, found, strict=True)) < 1e-4


@pytest.mark.parametrize("kind", ["semantic", "interactive", "refine-in-context"])
@torch.no_grad()
def test_decoders_agree_at_other_sizes_and_numbers(kind: str, model: KPrism, run: Run) -> None:
    for question in QUESTIONS:
        features, prompts = model.encode(question.image), prompts_of(model, question, kind)
        (logits,) = run(decode_name(prompts), decode_inputs(features, prompts))
        expected = model.decode(features, prompts).logits
        assert _worst(expected, logits) < 1e-4
        assert expected.std() > 1e-3


@torch.no_grad()
def test_a_trunk_pads_odd_and_even_sizes_in_one_graph() -> None:
    config = EncoderConfig(widths=(8, 8, 8, 8), blocks=(0, 0, 0, 0), trunk=EFFICIENTNET_LITE0)
    torch.manual_seed(2)
    encoder = PyramidEncoder(3, config).eval()
    shell = make_model(kprism_nano)
    shell.image_encoder = encoder
    session = onnxruntime.InferenceSession(export_graph(shell, ENCODE))
    for height, width in ((64, 48), (80, 32)):
        image = torch.randn(1, 3, height, width)
        found = session.run(None, {"image": image.numpy()})
        assert max(_worst(a, b) for a, b in zip(encoder(image), found, strict=True)) < 1e-4


def test_every_kind_of_request_has_a_graph(model: KPrism) -> None:
    question = draw_question()
    names = {decode_name(prompts_of(model, question, kind)) for kind in KINDS}
    assert len(names) == len(KINDS)
    assert names < set(graph_names())
    assert len(graph_names()) == 9


def test_what_no_graph_answers_is_refused(model: KPrism) -> None:
    with pytest.raises(ConfigError, match="needs a class, a reference or a click"):
        decode_name(Prompts())
    question = draw_question()
    with pytest.raises(ConfigError, match="belong together"):
        decode_name(Prompts(concept=question.concept, dense=question.dense))
    with pytest.raises(ConfigError, match="no graph 'decode'"):
        export_graph(model, "decode")
