from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from medprism.models.iris.config import iris_nano_2d
from medprism.models.iris.slices import SliceIris
from medprism.training.batches import draw_batch
from medprism.training.config import TrainConfig
from medprism.training.iris.slice_step import learn_slices
from medprism.training.loop import Learner, learn_everything
from medprism.training.recipes import iris_nano_2d as iris_recipe
from medprism.training.recipes import kprism_nano
from medprism.training.recompute import recompute_blocks
from medprism.training.step import StepRandomness
from medprism.training.task_step import learn_tasks

from .phantom_sampler import PhantomSampler
from .runs import make_nano
from .two_tasks import make_tasks, task_config

Built = tuple[nn.Module, Learner, TrainConfig]


def _kprism() -> Built:
    model, config = make_nano().train(), kprism_nano(10)
    return model, learn_everything(model, config), config


def _tpseg() -> Built:
    model, config = make_tasks(3).train(), task_config(10)
    return model, learn_tasks(model, config), config


def _iris() -> Built:
    torch.manual_seed(1)
    model, config = SliceIris(iris_nano_2d(3)).train(), iris_recipe(10)
    return model, learn_slices(model, config), config


def _step(built: Built, step: int) -> tuple[dict[str, Tensor], int]:
    """Return the gradients of a step, and the bytes that wait for them after its first half."""
    model, learner, config = built
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch, plan = draw_batch(PhantomSampler(8), config, step)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = learner.step(batch, plan, StepRandomness(1, step)).loss
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return found, sum(size for place, size in kept.items() if place not in weights)


# Of TP-Seg's nano most is in its adapters and decoder.
@pytest.mark.parametrize(("make", "share"), [(_kprism, 0.6), (_tpseg, 0.8), (_iris, 0.6)])
@pytest.mark.parametrize("step", [0, 3, 4])
def test_gradients_are_the_same_and_less_is_kept(
    make: Callable[[], Built], share: float, step: int
) -> None:
    plain, forgetful = make(), make()
    assert recompute_blocks(forgetful[0]) > 3
    assert plain[0].state_dict().keys() == forgetful[0].state_dict().keys()
    (one, whole), (other, part) = _step(plain, step), _step(forgetful, step)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert part < share * whole


def test_asking_twice_is_asking_once() -> None:
    model = make_nano()
    blocks = recompute_blocks(model)
    wrapped = model.decoder.layers[0].forward
    assert recompute_blocks(model) == blocks
    assert model.decoder.layers[0].forward is wrapped


def test_without_gradients_nothing_is_computed_twice() -> None:
    model = make_nano().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.encode(images)
        recompute_blocks(model)
        found = model.encode(images)
    assert all(torch.equal(a, b) for a, b in zip(expected.maps, found.maps, strict=True))
