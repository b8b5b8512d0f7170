"""What holds for every rival: the contract, gradients everywhere, rows that do not meet."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medprism.core.errors import ConfigError, PromptError
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Prompts, Segmenter, canvas_logits
from medprism.models.zoo.slices.frame import Rival, RivalConfig, rival_compact, rival_nano
from medprism.models.zoo.slices.roster import RIVALS

from .asked import CLASSES, SIZE, ask, build_needs, draw_clicks, draw_image


def make(name: str) -> Rival | KPrism:
    build_needs(name)
    torch.manual_seed(2)
    return RIVALS[name].build(rival_nano(CLASSES))


@pytest.mark.parametrize("name", RIVALS)
def test_it_is_a_segmenter_whose_logits_lie_on_a_grid_of_the_canvas(name: str) -> None:
    model = make(name).eval()
    assert isinstance(model, Segmenter)
    with torch.no_grad():
        decoded = model.decode(*ask(model))
    height, width = decoded.logits.shape[1:]
    assert SIZE[0] % height == 0 and SIZE[1] % width == 0
    assert canvas_logits(decoded, SIZE).shape == (2, *SIZE)


@pytest.mark.parametrize("name", RIVALS)
def test_every_weight_learns(name: str) -> None:
    model = make(name).train()
    features, prompts = ask(model)
    asked = [prompts]
    if model.accepts.clicks:
        clicks, dense = draw_clicks()
        asked.append(replace(prompts, clicks=clicks, dense=dense))
    if model.accepts.references and model.accepts.classes:
        asked.append(Prompts(concept=torch.tensor([0, 4])))
    answers = [model.decode(features, one) for one in asked]
    outputs = [logits for answer in answers for logits in (answer.logits, *answer.auxiliary)]
    torch.stack([logits.square().mean() for logits in outputs]).sum().backward()
    for part, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, part
        assert float(parameter.grad.abs().max()) > 0, part


@pytest.mark.parametrize("name", RIVALS)
def test_it_learns_in_bfloat16_as_the_loop_has_it(name: str) -> None:
    model = make(name).train()
    with torch.no_grad():
        exact = model.decode(*ask(model)).logits
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.decode(*ask(model)).logits.float()
    assert float((logits.detach() - exact).abs().max()) < 0.1 * float(exact.abs().max()) + 0.1
    logits.square().mean().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(bool(grad.isfinite().all()) for grad in grads)


@pytest.mark.parametrize("name", RIVALS)
def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(name: str) -> None:
    model = make(name).eval()
    image = draw_image()
    with torch.no_grad():
        together = model.decode(*ask(model, image=image)).logits
        alone = model.decode(*ask(model, 1, image=image[:1])).logits
    torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", RIVALS)
def test_what_it_cannot_be_asked_is_refused_with_what_it_can(name: str) -> None:
    model = make(name).eval()
    features = model.encode(draw_image())
    with pytest.raises(PromptError, match="not by nothing"):
        model.decode(features, Prompts())
    if not model.accepts.classes:
        with pytest.raises(PromptError, match="not by a class"):
            model.decode(features, Prompts(concept=torch.tensor([0, 1])))
    if not model.accepts.clicks:
        clicks, dense = draw_clicks()
        with pytest.raises(PromptError, match="not by clicks"):
            model.decode(features, Prompts(clicks=clicks, dense=dense))
    if not model.accepts.references:
        shown = draw_image()[:, None]
        with pytest.raises(PromptError, match="takes no references"):
            model.encode_references(shown, shown[:, :, 0], torch.ones(2, 1, dtype=torch.bool))


@pytest.mark.parametrize("name", RIVALS)
def test_its_batches_ask_only_what_it_accepts(name: str) -> None:
    entry, accepts = RIVALS[name], make(name).accepts
    allowed = (accepts.classes, accepts.references, accepts.clicks)
    assert sum(entry.odds) == pytest.approx(1)
    assert all(can or not share for can, share in zip(allowed, entry.odds, strict=True))


@pytest.mark.parametrize("name", RIVALS)
def test_the_compact_size_is_that_of_an_ordinary_computer(name: str) -> None:
    build_needs(name)
    with torch.device("meta"):
        model = RIVALS[name].build(rival_compact(80))
    assert sum(p.numel() for p in model.parameters()) < 8e6


def test_settings_that_make_no_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        RivalConfig(kprism=rival_nano(2).kprism, width=12)
