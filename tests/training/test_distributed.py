"""Two processes learn what one does."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.core.progress import SilentProgress
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Decoded, Features, Prompts, ReferenceFeatures
from medprism.training.batches import draw_batch
from medprism.training.distributed import Alone, ProcessGroup, Replicas, same_everywhere, share_of
from medprism.training.loop import Schedule, train
from medprism.training.recipes import kprism_nano
from medprism.training.step import Batch, StepRandomness, TrainingStep
from tests.phantoms import NAMES

from .phantom_sampler import PhantomSampler


class _Quiet:
    def scalars(self, step: int, values: dict[str, float]) -> None:
        pass


class _InDouble(KPrism):
    """K-Prism whose sums hardly round: AdamW's first steps blow the rounding of float32 up."""

    def encode(self, image: Tensor) -> Features:
        return super().encode(image.double())

    def encode_references(self, image: Tensor, mask: Tensor, valid: Tensor) -> ReferenceFeatures:
        return super().encode_references(image.double(), mask.double(), valid)

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        clicks = prompts.clicks
        if clicks is not None:
            clicks = replace(clicks, position=clicks.position.double())
        dense = None if prompts.dense is None else prompts.dense.double()
        return super().decode(features, replace(prompts, clicks=clicks, dense=dense))


def _model() -> KPrism:
    torch.manual_seed(5)
    return _InDouble(PRESETS["kprism-nano"].config(len(NAMES))).double()


def _run(folder: Path, replicas: Replicas) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    model = _model()
    train(
        model,
        PhantomSampler(8),
        kprism_nano(4),
        folder,
        schedule=Schedule(),
        validate=None,
        on_best=None,
        log=_Quiet(),
        progress=SilentProgress(),
        replicas=replicas,
    )
    return model.state_dict()


def _worker(rank: int, rendezvous: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    weights = _run(Path(folder), ProcessGroup())
    if not same_everywhere(weights):
        raise SystemExit(3)
    if rank == 0:
        torch.save(weights, Path(folder) / "two.pt")
    dist.destroy_process_group()


def test_two_processes_reach_the_weights_of_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = _run(tmp_path / "one", Alone())
    rendezvous = f"file://{tmp_path / 'rendezvous'}"
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_worker, args=(rank, rendezvous, str(tmp_path / "two")))
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    two = torch.load(tmp_path / "two" / "two.pt", weights_only=True)
    worst = max(float((one[name] - two[name]).abs().max()) for name in one)
    start = _model().state_dict()
    moved = max(float((one[name] - start[name]).abs().max()) for name in one)
    assert worst < 1e-3 * moved


@pytest.mark.parametrize("step", range(6))
def test_the_gradients_of_two_shares_add_up_to_that_of_the_batch(step: int) -> None:
    model, config = _model(), kprism_nano(10)
    learn = TrainingStep(model, config.output_weights, config.later_weight)
    batch, plan = draw_batch(PhantomSampler(8), config, step)

    def gradients(shares: list[tuple[Batch, StepRandomness, float]]) -> dict[str, Tensor]:
        model.zero_grad(set_to_none=True)
        for part, randomness, weight in shares:
            (learn(part, plan, randomness).loss * weight).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    whole = StepRandomness(1, step)
    one = gradients([(batch, whole, 1.0)])
    two = gradients([share_of(batch, whole, rank, 2) for rank in range(2)])
    assert one.keys() == two.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    assert all(torch.allclose(one[name], two[name], atol=1e-6 * largest) for name in one)


def _batch(images: int) -> Batch:
    index = torch.arange(images).repeat_interleave(2)
    return Batch(
        images=torch.randn(images, 3, 16, 16),
        image_index=index,
        concept=torch.arange(len(index)),
        target=torch.rand(len(index), 16, 16),
        reference_images=torch.zeros(len(index), 0, 3, 16, 16),
        reference_masks=torch.zeros(len(index), 0, 16, 16),
    )


def test_shares_cover_every_request_once_and_add_up() -> None:
    batch = _batch(5)
    seen, total = [], 0.0
    for rank in range(3):
        part, randomness, weight = share_of(batch, StepRandomness(1, 2), rank, 3)
        assert randomness.numbers is not None
        for local, number in enumerate(randomness.numbers):
            assert torch.equal(part.target[local], batch.target[number])
            pictured = part.images[part.image_index[local]]
            assert torch.equal(pictured, batch.images[batch.image_index[number]])
        seen += randomness.numbers
        total += weight
    assert sorted(seen) == list(range(10))
    assert total == pytest.approx(1.0)


def test_more_processes_than_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 images cannot feed 3 processes"):
        share_of(_batch(2), StepRandomness(1, 2), 0, 3)


def test_a_process_group_needs_torchrun() -> None:
    with pytest.raises(ConfigError, match="torchrun"):
        ProcessGroup()
