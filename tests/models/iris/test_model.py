from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from medprism.core.errors import GeometryError, LabelError
from medprism.models.blocks.two_way import TokenSight
from medprism.models.iris.decoder import ABSENT_LOGIT
from medprism.models.iris.embedding import TaskEmbeddings, stack_classes
from medprism.models.iris.model import Iris
from medprism.models.iris.tuning import class_losses

from .episodes import Episode, draw_episode, make_iris, small

VARIANTS: dict[str, dict[str, dict[str, object]]] = {
    "as it is": {},
    "concatenated skips": {"body": {"skip": "concat", "shortcut_kernel": 3, "norm": "instance"}},
    "no high-resolution masks": {"task": {"mask_entry": "coarse"}},
    "no query tokens": {"task": {"queries": 0, "layers": 0}},
    "no foreground stream": {"task": {"has_foreground": False}},
    "K-Prism's": {
        "task": {"mask_entry": "strided", "pooling": "space", "reads_foreground_only": True}
    },
    "tokens of all classes meet": {"decoder": {"token_sight": "stack"}},
    "classes apart": {"decoder": {"token_sight": "none", "writes": False}},
    "without positions": {"task": {"has_position": False}, "decoder": {"has_position": False}},
    "only the deepest map": {"decoder": {"blocks": (1,)}},
    "a map left out": {"decoder": {"blocks": (1, 0, 1)}},
}


def worst(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max())


def ask(model: Iris, episode: Episode) -> tuple[Tensor, TaskEmbeddings]:
    logits, tasks = model(episode.image, episode.reference, episode.masks)
    return logits.detach(), tasks.map(torch.Tensor.detach)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns_in_every_variant(ndim: int, variant: str) -> None:
    model = make_iris(small(ndim, **VARIANTS[variant]))
    episode = draw_episode(ndim, rows=2, classes=2)
    logits, _ = model(episode.image, episode.reference, episode.masks)
    assert logits.shape == (2, 2, *episode.image.shape[2:])
    class_losses(logits, episode.masks).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("ndim", [2, 3])
def test_rows_of_a_batch_do_not_influence_one_another(ndim: int) -> None:
    model = make_iris(small(ndim), dtype=torch.float64)
    episode = draw_episode(ndim, rows=3, dtype=torch.float64)
    whole, _ = ask(model, episode)
    alone, _ = ask(model, Episode(episode.image[1:2], episode.reference[1:2], episode.masks[1:2]))
    assert worst(whole[1:2], alone) < 1e-9
    assert worst(whole[0:1], alone) > 1e-3


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("sight", ["class", "stack"])
def test_classes_may_come_in_any_order(ndim: int, sight: TokenSight) -> None:
    model = make_iris(small(ndim, decoder={"token_sight": sight}), dtype=torch.float64)
    episode = draw_episode(ndim, classes=4, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    turned = replace(episode, masks=episode.masks[:, order])
    assert worst(ask(model, turned)[0], ask(model, episode)[0][:, order]) < 1e-9


@pytest.mark.parametrize("sight", ["none", "class", "stack"])
@pytest.mark.parametrize("writes", [False, True])
def test_a_further_class_changes_others_only_where_classes_meet(
    sight: TokenSight, writes: bool
) -> None:
    model = make_iris(
        small(3, decoder={"token_sight": sight, "writes": writes}), dtype=torch.float64
    )
    episode = draw_episode(3, classes=4, dtype=torch.float64)
    features = model.encode(episode.image)
    tasks = model.encode_references(episode.reference, episode.masks)
    fewer = tasks.select_classes(torch.tensor([0, 2]))
    whole, part = model.decode(features, tasks), model.decode(features, fewer)
    difference = worst(whole[:, [0, 2]], part)
    if sight != "stack" and not writes:
        assert difference < 1e-9
    else:
        assert 1e-6 < difference < 5


@pytest.mark.parametrize("sight", ["class", "stack"])
def test_absent_classes_and_padding_are_seen_by_nobody(sight: TokenSight) -> None:
    model = make_iris(small(3, decoder={"token_sight": sight}), dtype=torch.float64)
    episode = draw_episode(3, classes=2, dtype=torch.float64)
    features = model.encode(episode.image)
    tasks = model.encode_references(episode.reference, episode.masks)
    plain = model.decode(features, tasks)
    padded = model.decode(features, tasks.pad_classes(5))
    assert worst(padded[:, :2], plain) < 1e-9
    assert (padded[:, 2:] == ABSENT_LOGIT).all()
    nobody = TaskEmbeddings(torch.zeros_like(tasks.tokens), torch.zeros(2, 2, dtype=torch.bool))
    assert (model.decode(features, nobody) == ABSENT_LOGIT).all()
    mixed = stack_classes([nobody, tasks])
    assert worst(model.decode(features, mixed)[:, 2:], plain) < 1e-9


@pytest.mark.parametrize("ndim", [2, 3])
def test_any_size_is_padded_and_cropped(ndim: int) -> None:
    model = make_iris(small(ndim))
    size = (21, 35, 18)[:ndim]
    episode = draw_episode(ndim, size=size, rows=2)
    tasks = model.encode_references(episode.reference, episode.masks)
    logits = model.segment(episode.image, tasks)
    assert tuple(logits.shape) == (2, 3, *size)
    one = model.segment(episode.image, tasks.select(torch.tensor([0])))
    assert worst(one[:1], logits[:1]) < 1e-5
    fitting = draw_episode(ndim)
    whole = model.segment(fitting.image, tasks)
    assert torch.equal(whole, model.decode(model.encode(fitting.image), tasks))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("side", [16, 48])
def test_every_size_that_16_divides_works(ndim: int, side: int) -> None:
    model = make_iris(small(ndim))
    episode = draw_episode(ndim, rows=1, size=(16, side, 32)[:ndim])
    logits, _ = ask(model, episode)
    assert logits.shape == (1, 3, *episode.image.shape[2:])
    assert torch.isfinite(logits).all()


def test_the_same_input_gives_the_same_output_and_changes_nothing() -> None:
    model = make_iris(small(3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    episode = draw_episode(3)
    first, tasks = ask(model, episode)
    model.train()
    second, again = ask(model, episode)
    assert torch.equal(first, second)
    assert torch.equal(tasks.tokens, again.tokens)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_reference_is_encoded_alike_alone_and_through_its_features() -> None:
    model = make_iris(small(3))
    episode = draw_episode(3)
    features = model.encode(episode.reference)
    short = model.encode_references(episode.reference, episode.masks)
    assert torch.equal(model.encode_tasks(features, episode.masks).tokens, short.tokens)


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_classes_may_be_encoded_a_few_at_a_time(at_once: int) -> None:
    model = make_iris(small(3), dtype=torch.float64)
    episode = draw_episode(3, classes=5, dtype=torch.float64)
    valid = torch.tensor([[True, True, False, True, True], [True] * 5])
    whole = model.encode_references(episode.reference, episode.masks, valid)
    some = model.encode_references(episode.reference, episode.masks, valid, at_once=at_once)
    assert worst(some.tokens, whole.tokens) < 1e-12
    assert torch.equal(some.present, whole.present)


def test_masks_on_another_grid_and_images_of_other_sizes_are_refused() -> None:
    model = make_iris(small(3, body={"norm": "instance"}))
    episode = draw_episode(3)
    features = model.encode(episode.image)
    with pytest.raises(GeometryError, match="bring both onto one grid"):
        model.encode_tasks(features, episode.masks[:, :, :-1])
    # With the type checker on, as in the tests, it is first where numbers of images differ.
    with pytest.raises((GeometryError, TypeCheckError)):
        model.encode_references(episode.reference, episode.masks[:1])
    with pytest.raises(GeometryError, match="multiples of 16"):
        model.encode(episode.image[..., :-1])
    with pytest.raises(GeometryError, match="1 channels on 3 axes"):
        model.encode(episode.image[:, :, 0])
    with pytest.raises(GeometryError, match="too small"):
        model.encode(episode.image[..., :16, :16])


def test_tasks_of_another_model_or_number_are_refused() -> None:
    model = make_iris(small(3))
    other = make_iris(small(3, task={"queries": 5}))
    episode = draw_episode(3)
    features = model.encode(episode.image)
    tasks = other.encode_references(episode.reference, episode.masks)
    with pytest.raises(GeometryError, match=r"\(6, 16\) are of another model"):
        model.decode(features, tasks)
    with pytest.raises(GeometryError, match="1 rows of tasks for 2 images"):
        model.decode(features, tasks.select(torch.tensor([0])))


def test_seen_classes_are_recalled_without_a_reference() -> None:
    model = make_iris(small(3, concepts=6))
    episode = draw_episode(3, rows=2, classes=3)
    masks = episode.masks.clone()
    masks[1, 1] = 0
    tasks = model.encode_references(episode.reference, masks)
    concept = torch.tensor([[4, 1, 5], [4, 2, 5]])
    assert not model.recall(concept).present.any()
    model.remember(concept, tasks)
    known = model.recall(torch.tensor([[4, 1, 2, 5, 0]]))
    # Class 2 was named but its mask is empty; class 0 was never named.
    assert known.present.tolist() == [[True, True, False, True, False]]
    torch.testing.assert_close(known.tokens[0, 0], tasks.tokens[:, 0].mean(0))
    torch.testing.assert_close(known.tokens[0, 1], tasks.tokens[0, 1])
    assert model.bank.count[:, 0].tolist() == [0, 1, 0, 0, 2, 2]
    model.remember(concept, tasks.map(lambda t: t if t.dtype == torch.bool else t + 1))
    moved = model.recall(concept[:, :1]).tokens[0, 0]
    torch.testing.assert_close(moved, tasks.tokens[:, 0].mean(0) + 0.001)
    logits = model.segment(episode.image, known)
    assert logits.shape[1] == 5
    with pytest.raises(LabelError, match="choose 0 to 5"):
        model.recall(torch.tensor([[6]]))


def test_the_bank_is_part_of_the_weights() -> None:
    model, other = make_iris(small(3)), make_iris(small(3), seed=2)
    episode = draw_episode(3, rows=1, classes=2)
    tasks = model.encode_references(episode.reference, episode.masks)
    model.remember(torch.tensor([[3, 0]]), tasks)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.recall(torch.tensor([[3, 0]])).tokens, tasks.tokens)


def test_an_image_is_described_by_a_unit_vector_of_its_own() -> None:
    model = make_iris(small(3))
    episode = draw_episode(3, rows=3)
    described = model.describe_image(model.encode(episode.image))
    torch.testing.assert_close(described.norm(dim=-1), torch.ones(3))
    assert worst(described[0], described[1]) > 1e-4


def test_autocast_changes_little() -> None:
    model = make_iris(small(3))
    episode = draw_episode(3)
    exact, _ = ask(model, episode)
    with torch.autocast("cpu", torch.bfloat16):
        rough, tasks = ask(model, episode)
    assert torch.isfinite(rough).all()
    assert 0 < worst(rough.float(), exact) < 0.5
    assert tasks.tokens.dtype in (torch.bfloat16, torch.float32)
