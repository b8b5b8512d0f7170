from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.models.blocks import attention
from medprism.models.kprism.config import (
    DecoderConfig,
    EncoderConfig,
    KPrismConfig,
    kprism_base,
    kprism_compact,
    kprism_nano,
)
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Clicks, Prompts, ReferenceFeatures, Segmenter, canvas_logits

from .questions import KINDS, Question, answer, draw_question, make_model, worst_difference

EXACT = 1e-9
CLOSE = 1e-5

WITH_REFERENCES = [kind for kind, members in KINDS.items() if "references" in members]
WITH_MARKS = [kind for kind, members in KINDS.items() if "marks" in members]


@pytest.fixture(scope="module")
def nano() -> KPrism:
    return make_model(kprism_nano)


@pytest.fixture(scope="module")
def exact() -> KPrism:
    """Return a nano in double precision, where only real dependence shows."""
    return make_model(kprism_nano, dtype=torch.float64)


@pytest.fixture(scope="module")
def exact_question() -> Question:
    return draw_question(dtype=torch.float64)


def six_layers(num_concepts: int) -> KPrismConfig:
    """Return the paper's scheme in small: two rounds over the scales, attention, BatchNorm."""
    encoder = EncoderConfig(
        widths=(8, 8, 16, 16, 32), blocks=(1, 1, 1, 1, 1), norm="batch", attention=True
    )
    return KPrismConfig(
        image_encoder=encoder,
        mask_encoder=EncoderConfig(
            widths=(8, 8, 16, 16, 32), blocks=(2, 1, 1, 1, 1), norm="batch", max_pool=True
        ),
        prompt_widths=(16, 16, 16, 16),
        decoder=DecoderConfig(
            dim=16,
            heads=2,
            read_experts=3,
            feed_experts=2,
            pixel_hidden=(16,) * 6,
            feed_hidden=16,
            head_hidden=8,
        ),
        num_concepts=num_concepts,
    )


def test_it_fulfils_the_contract_of_a_segmenter(nano: KPrism) -> None:
    assert isinstance(nano, Segmenter)
    assert nano.spatial_dims == 2
    assert nano.accepts.classes and nano.accepts.references and nano.accepts.clicks
    assert not nano.accepts.tasks


@pytest.mark.parametrize("kind", KINDS)
def test_identical_input_gives_bit_identical_output(nano: KPrism, kind: str) -> None:
    question = draw_question()
    first, second = answer(nano, question, kind), answer(nano, question, kind)
    assert worst_difference(first, second) == 0.0
    # No module keeps anything: a twin with the same weights, never asked before, agrees.
    twin = KPrism(nano.config).eval()
    twin.load_state_dict(nano.state_dict())
    assert worst_difference(first, answer(twin, question, kind)) == 0.0


@pytest.mark.parametrize("config", [kprism_nano, six_layers])
@pytest.mark.parametrize("kind", WITH_MARKS)
def test_padding_clicks_change_nothing(config: object, kind: str) -> None:
    model = make_model(config, dtype=torch.float64)  # type: ignore[arg-type]
    question = draw_question(dtype=torch.float64)
    padded = question.with_changed(
        position=torch.cat([question.position[:, :1] + 5, question.position], 1),
        is_positive=torch.cat([question.is_positive[:, :1], question.is_positive], 1),
        valid=torch.cat([torch.zeros(2, 1, dtype=torch.bool), question.valid], 1),
    )
    assert torch.equal(padded.dense, question.dense)
    difference = worst_difference(answer(model, question, kind), answer(model, padded, kind))
    assert difference <= EXACT


@pytest.mark.parametrize("kind", WITH_REFERENCES)
@pytest.mark.parametrize("config", [kprism_nano, six_layers])
def test_padding_references_change_nothing(config: object, kind: str) -> None:
    model = make_model(config, dtype=torch.float64)  # type: ignore[arg-type]
    question = draw_question(dtype=torch.float64)
    junk = draw_question(seed=9, refs=1, dtype=torch.float64)
    padded = question.with_changed(
        reference_image=torch.cat([junk.reference_image, question.reference_image], 1),
        reference_mask=torch.cat([junk.reference_mask, question.reference_mask], 1),
        reference_valid=torch.cat(
            [torch.zeros(2, 1, dtype=torch.bool), question.reference_valid], 1
        ),
    )
    difference = worst_difference(answer(model, question, kind), answer(model, padded, kind))
    assert difference <= EXACT


@pytest.mark.parametrize("kind", WITH_MARKS)
def test_the_order_of_clicks_changes_nothing(
    exact: KPrism, exact_question: Question, kind: str
) -> None:
    order = [2, 0, 1]
    shuffled = exact_question.with_changed(
        position=exact_question.position[:, order],
        is_positive=exact_question.is_positive[:, order],
        valid=exact_question.valid[:, order],
    )
    difference = worst_difference(
        answer(exact, exact_question, kind), answer(exact, shuffled, kind)
    )
    assert difference <= EXACT


@pytest.mark.parametrize("kind", WITH_REFERENCES)
def test_the_order_of_references_changes_nothing(exact: KPrism, kind: str) -> None:
    question = draw_question(refs=3, dtype=torch.float64)
    order = [1, 2, 0]
    shuffled = question.with_changed(
        reference_image=question.reference_image[:, order],
        reference_mask=question.reference_mask[:, order],
    )
    difference = worst_difference(answer(exact, question, kind), answer(exact, shuffled, kind))
    assert difference <= EXACT


@pytest.mark.parametrize("kind", KINDS)
def test_batch_neighbours_change_nothing(
    nano: KPrism, exact: KPrism, exact_question: Question, kind: str
) -> None:
    together = answer(exact, exact_question, kind)
    for row in range(2):
        alone = answer(exact, exact_question.pick([row]), kind)
        assert float((together.logits[row] - alone.logits[0]).detach().abs().max()) <= EXACT
    single = draw_question()
    alone = answer(nano, single.pick([1]), kind)
    beside = answer(nano, single, kind).logits[1]
    assert float((beside - alone.logits[0]).detach().abs().max()) <= CLOSE


def test_several_requests_share_one_encoding(exact: KPrism, exact_question: Question) -> None:
    index = torch.tensor([1, 0, 1])
    features = exact.encode(exact_question.image).select(index)
    concept = torch.tensor([2, 0, 0])
    together = exact.decode(features, Prompts(concept=concept)).logits
    for row in range(3):
        asked = exact_question.pick([int(index[row])]).with_changed(concept=concept[row : row + 1])
        alone = answer(exact, asked, "semantic").logits[0]
        assert float((together[row] - alone).detach().abs().max()) <= EXACT


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    kind=st.sampled_from(sorted(KINDS)),
    requests=st.integers(1, 3),
    refs=st.integers(1, 2),
    clicks=st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_any_multiple_of_16_is_a_canvas(
    height: int, width: int, kind: str, requests: int, refs: int, clicks: int
) -> None:
    model = make_model(kprism_nano)
    size = (16 * height, 16 * width)
    question = draw_question(*size, requests=requests, refs=refs, clicks=clicks)
    decoded = answer(model, question, kind)
    assert decoded.logits.shape == (requests, size[0] // 2, size[1] // 2)
    grids = [tuple(logits.shape[1:]) for logits in decoded.auxiliary]
    assert grids == [(size[0] // s, size[1] // s) for s in (16, 8, 4)]
    assert canvas_logits(decoded, size).shape == (requests, *size)
    assert all(logits.isfinite().all() for logits in (decoded.logits, *decoded.auxiliary))


@pytest.mark.parametrize("kind", KINDS)
def test_base_runs_every_kind_of_request_on_a_small_canvas(base: KPrism, kind: str) -> None:
    question = draw_question(32, 48, refs=1, clicks=2)
    with torch.no_grad():
        decoded = answer(base, question, kind)
    assert decoded.logits.shape == (2, 8, 12)
    assert [logits.shape[1] for logits in decoded.auxiliary] == [2, 4, 8, 2, 4]
    assert decoded.logits.isfinite().all()
    assert float(decoded.logits.std()) > 0


@pytest.fixture(scope="module")
def base() -> KPrism:
    return make_model(kprism_base)


@pytest.mark.parametrize("kind", WITH_REFERENCES)
def test_references_encoded_one_by_one_are_those_encoded_together(
    exact: KPrism, exact_question: Question, kind: str
) -> None:
    one_by_one = [
        exact.encode_references(
            exact_question.reference_image[:, i : i + 1],
            exact_question.reference_mask[:, i : i + 1],
            exact_question.reference_valid[:, i : i + 1],
        )
        for i in (1, 0)
    ]
    joined = ReferenceFeatures.concatenate(one_by_one)
    marks = "marks" in KINDS[kind]
    clicks = Clicks(exact_question.position, exact_question.is_positive, exact_question.valid)
    decoded = exact.decode(
        exact.encode(exact_question.image),
        Prompts(
            references=joined,
            clicks=clicks if marks else None,
            dense=exact_question.dense if marks else None,
        ),
    )
    together = answer(exact, exact_question, kind)
    assert worst_difference(decoded, together) <= EXACT


def test_every_member_of_a_request_matters(exact: KPrism, exact_question: Question) -> None:
    other = draw_question(seed=8, dtype=torch.float64)
    changes = {
        "semantic": {"concept": exact_question.concept + 1},
        "in-context": {"reference_mask": 1 - exact_question.reference_mask},
        "interactive": {"is_positive": ~exact_question.is_positive},
        "refine-semantic": {"previous": other.previous},
        "refine-in-context": {"reference_image": other.reference_image},
    }
    for kind, change in changes.items():
        before = answer(exact, exact_question, kind).logits
        after = answer(exact, exact_question.with_changed(**change), kind).logits
        assert float((before - after).detach().abs().max()) > 1e-3, kind


def test_only_the_small_models_compare_features_of_unit_power(
    exact: KPrism, exact_question: Question
) -> None:
    assert not kprism_base().normalise_keys
    assert exact.config.normalise_keys
    references = exact.encode_references(
        exact_question.reference_image,
        exact_question.reference_mask,
        exact_question.reference_valid,
    )
    # A hundredth above zero keeps empty features at zero: see `unit_power`.
    assert references.keys.square().mean(-1).sub(1).abs().max() < 0.01
    plain = KPrism(replace(exact.config, normalise_keys=False)).double().eval()
    plain.load_state_dict(exact.state_dict())
    for kind in KINDS:
        one, other = (answer(model, exact_question, kind) for model in (exact, plain))
        assert (worst_difference(one, other) > 1e-6) == ("references" in KINDS[kind])


def test_absent_clicks_are_not_the_map_of_an_all_zero_prompt(
    exact: KPrism, exact_question: Question
) -> None:
    features = exact.encode(exact_question.image)
    bare = Prompts(concept=exact_question.concept)
    zeros = torch.zeros_like(exact_question.dense)
    mapped = Prompts(concept=exact_question.concept, dense=zeros)
    difference = exact.decode(features, bare).logits - exact.decode(features, mapped).logits
    assert float(difference.detach().abs().max()) > 1e-3


@pytest.mark.parametrize("config", [kprism_nano, kprism_compact, six_layers])
def test_after_one_step_of_each_kind_every_parameter_has_had_a_gradient(config: object) -> None:
    model = make_model(config).train()  # type: ignore[arg-type]
    question = draw_question(32, 48, requests=3, clicks=3)
    for kind in KINDS:
        decoded = answer(model, question, kind)
        loss = sum(
            torch.nn.functional.softplus(logits * logits.detach().sign()).mean()
            for logits in (decoded.logits, *decoded.auxiliary)
        )
        assert isinstance(loss, torch.Tensor)
        loss.backward()
    dead = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not float(parameter.grad.abs().max()) > 0
    ]
    assert dead == []


def test_every_class_has_its_own_row(exact: KPrism, exact_question: Question) -> None:
    model = make_model(kprism_nano)
    question = draw_question(requests=1)
    answer(
        model, question.with_changed(concept=torch.tensor([1])), "semantic"
    ).logits.sum().backward()
    for table in (model.classes.content, model.classes.position):
        assert table.grad is not None
        assert table.grad.abs().amax((1, 2)).gt(0).tolist() == [False, True, False]


def test_a_request_without_knowledge_is_refused(nano: KPrism) -> None:
    features = nano.encode(draw_question().image)
    with pytest.raises(ConfigError, match="needs a class, a reference or a click"):
        nano.decode(features, Prompts())


def test_a_request_of_padding_alone_stays_finite_and_apart(nano: KPrism) -> None:
    question = draw_question()
    valid = question.valid.clone()
    valid[0] = False
    silent = question.with_changed(valid=valid)
    decoded = answer(nano, silent, "interactive")
    assert decoded.logits.isfinite().all()
    alone = answer(nano, question.pick([1]), "interactive").logits[0]
    assert float((decoded.logits[1] - alone).detach().abs().max()) <= CLOSE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("config", [kprism_nano, six_layers])
def test_both_forms_of_attention_give_the_same_model(
    config: object, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(config, dtype=torch.float64)  # type: ignore[arg-type]
    question = draw_question(dtype=torch.float64)
    decoded = []
    for literal in (True, False):
        monkeypatch.setattr(attention, "literal_is_cheaper", lambda *_, form=literal: form)
        decoded.append(answer(model, question, kind))
    assert worst_difference(*decoded) <= EXACT
