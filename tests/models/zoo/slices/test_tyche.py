"""Tyche-style: candidates differ by noise, know of one another, and come out the same again."""

from __future__ import annotations

import torch
from torch import Tensor

from medprism.models.segmenter import Features, Prompts
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.tyche import CANDIDATES, SetBlock, Tyche, mean_candidate

from .asked import CLASSES, SIZE, ask


def make(seed: int = 4) -> Tyche:
    torch.manual_seed(seed)
    return Tyche(rival_nano(CLASSES)).eval()


def draw_noise(model: Tyche) -> Tensor:
    side = model.config.side
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def candidates(model: Tyche, by: tuple[Features, Prompts], noise: Tensor | None = None) -> Tensor:
    return model.candidates(*by, noise)


def test_candidates_differ_and_a_question_has_one_answer() -> None:
    model = make()
    by = ask(model)
    found = candidates(model, by)
    assert found.shape == (2, CANDIDATES, *SIZE)
    for one in range(CANDIDATES):
        for other in range(one):
            assert float((found[:, one] - found[:, other]).abs().max()) > 1e-4
    again = make()
    assert torch.equal(candidates(again, ask(again)), found)
    # The noise is that of the settings, whatever torch has drawn before.
    torch.manual_seed(99)
    assert torch.equal(candidates(model, by), found)


def test_decode_answers_with_the_mean_probability() -> None:
    model = make()
    by = ask(model)
    with torch.no_grad():
        logits = model.decode(*by).logits
    literal = candidates(model, by).double().sigmoid().mean(1)
    torch.testing.assert_close(logits.double().sigmoid(), literal, rtol=1e-5, atol=1e-7)
    sure = torch.tensor([60.0, 90.0]).reshape(1, 2, 1, 1)
    assert 60 <= float(mean_candidate(sure)) < 61


def test_a_candidate_depends_on_the_others_by_their_mean_alone() -> None:
    model = make()
    by, noise = ask(model), draw_noise(make())
    found = candidates(model, by, noise)
    changed = noise.clone()
    changed[:, 2] = -changed[:, 2]
    assert float((candidates(model, by, changed) - found)[:, 0].abs().max()) > 1e-5
    order = [2, 0, 1]
    turned = candidates(model, by, noise[:, order])
    torch.testing.assert_close(turned, found[:, order], rtol=1e-4, atol=1e-5)
    # Twice the same candidates have the same mean.
    twice = candidates(model, by, noise.repeat(1, 2, 1, 1))
    torch.testing.assert_close(twice, found.repeat(1, 2, 1, 1), rtol=1e-4, atol=1e-5)


def test_a_set_block_is_its_formula() -> None:
    torch.manual_seed(2)
    block = SetBlock(2, 3, 4, 5)
    query, references = torch.randn(2, 3, 3, 6, 8), torch.randn(2, 2, 4, 6, 8)
    valid = torch.tensor([[True, True], [True, False]])
    found, after = block(query.flatten(0, 1), references, valid)
    leak = torch.nn.functional.leaky_relu
    assert block.reference is not None
    for row in (0, 1):
        mean = query[row].mean(0)
        crossed = [leak(block.cross(torch.cat([mean, one])[None])) for one in references[row]]
        torch.testing.assert_close(after[row, 1:], leak(block.reference(crossed[1])))
        said = torch.cat(crossed[: int(valid[row].sum())]).mean(0)
        for k in range(3):
            wanted = leak(block.query(torch.cat([query[row, k], said])[None]))
            torch.testing.assert_close(found[3 * row + k][None], wanted)
