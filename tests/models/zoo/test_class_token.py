from __future__ import annotations

import pytest
import torch

from medprism.core.errors import LabelError
from medprism.models.iris.model import Iris
from medprism.models.iris.tuning import class_losses
from medprism.models.zoo.class_token import ClassTokens
from tests.models.iris.episodes import SIZES, draw_episode, small


def make(ndim: int = 3, concepts: int = 4) -> ClassTokens:
    torch.manual_seed(1)
    return ClassTokens(small(ndim, concepts))


@pytest.mark.parametrize("ndim", [2, 3])
def test_all_classes_come_in_one_pass_and_every_weight_of_the_asked_learns(ndim: int) -> None:
    model, episode = make(ndim), draw_episode(ndim)
    concept = torch.tensor([[2, 0, 1], [3, 1, 2]])
    logits = model(episode.image, concept)
    assert logits.shape == (2, 3, *SIZES[ndim])
    class_losses(logits, episode.masks).mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_class_that_is_not_asked_for_has_no_gradient() -> None:
    model, episode = make(), draw_episode(3)
    model(episode.image, torch.tensor([[2, 0], [0, 2]])).square().mean().backward()
    assert model.tokens.grad is not None
    touched = model.tokens.grad.flatten(1).any(1)
    assert touched.tolist() == [True, False, True, False]


def test_the_class_decides_and_its_place_in_the_question_does_not() -> None:
    model, episode = make().eval(), draw_episode(3, rows=1)
    with torch.no_grad():
        asked = model(episode.image, torch.tensor([[2, 0, 3]]))
        turned = model(episode.image, torch.tensor([[3, 2, 0]]))
        other = model(episode.image, torch.tensor([[2, 0, 1]]))
    torch.testing.assert_close(turned, asked[:, [2, 0, 1]], atol=1e-4, rtol=1e-4)
    assert float((asked[:, 2] - other[:, 2]).abs().max()) > 1e-4


def test_it_is_iris_with_a_table_in_place_of_the_task_encoder() -> None:
    config = small(3)
    torch.manual_seed(1)
    iris, model = Iris(config), make()
    names = set(dict(iris.named_parameters()))
    kept = {name for name in names if name.startswith(("encoder.", "decoder."))}
    assert set(dict(model.named_parameters())) == kept | {"tokens"}
    model.load_state_dict({"tokens": model.tokens, **{n: iris.get_parameter(n) for n in kept}})
    episode, concept = draw_episode(3), torch.tensor([[0, 1, 2], [1, 2, 3]])
    with torch.no_grad():
        expected = iris.eval().decode(iris.encode(episode.image), model.look_up(concept))
        torch.testing.assert_close(model.eval()(episode.image, concept), expected)


def test_a_class_outside_the_table_is_refused() -> None:
    with pytest.raises(LabelError, match="table of 4 rows"):
        make().look_up(torch.tensor([[4]]))


def test_a_few_steps_teach_which_class_is_which() -> None:
    model, episode = make(), draw_episode(3, rows=1, classes=2)
    image = episode.image * 0.2 + 3 * episode.masks[:, :1] - 3 * episode.masks[:, 1:]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    concept = torch.tensor([[3, 1]])
    first = last = torch.tensor(0.0)
    for step in range(25):
        loss = class_losses(model(image, concept), episode.masks).mean()
        first, last = (loss if step == 0 else first), loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(last.detach()) < 0.6 * float(first.detach())
    with torch.no_grad():
        logits, turned = model(image, concept), model(image, concept.flip(1))
    assert class_losses(logits, episode.masks).mean() < class_losses(turned, episode.masks).mean()
