"""Two processes learn what one does."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from medprism.core.errors import ConfigError
from medprism.core.progress import SilentProgress
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.training.distributed import Alone, ProcessGroup, Replicas, same_everywhere, share_of
from medprism.training.loop import Schedule, train
from medprism.training.recipes import kprism_nano
from medprism.training.step import Batch, StepRandomness


class _Quiet:
    def scalars(self, step: int, values: dict[str, float]) -> None:
        pass


class _Phantoms:
    """Draws the same small discs whoever asks."""

    def draw(
        self,
        seed: int,
        step: int,
        *,
        needs_reference: bool,
        num_requests: int,
        size: int,
        self_reference: float,
        allows_absent: bool,
    ) -> object:
        from medprism.data.episode import Episode

        generator = torch.Generator().manual_seed(seed * 1000 + step)
        images = torch.randint(0, 80, (num_requests // 2, size, size, 3), generator=generator)
        targets = torch.zeros(num_requests, size, size, dtype=torch.uint8)
        for index in range(num_requests):
            top, left = 4 + 5 * index, 7 + 3 * (index % 5)
            targets[index, top : top + 14, left : left + 20] = 255
            images[index // 2][targets[index] > 0] += 90
        count = torch.arange(num_requests)
        pictures = images.to(torch.uint8).numpy()
        refs = pictures[(count // 2).numpy()][:, None] if needs_reference else None
        return Episode(
            images=pictures,
            image_index=(count // 2).numpy(),
            concept=(count % 3).numpy(),
            targets=targets.numpy(),
            reference_images=refs,
            reference_masks=targets.numpy()[:, None] if needs_reference else None,
            is_absent=(count < 0).numpy(),
            row=count.numpy(),
            reference_rows=count.numpy()[:, None] if needs_reference else None,
        )


def _run(folder: Path, replicas: Replicas) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    torch.set_num_threads(1)
    model = KPrism(PRESETS["kprism-nano"].config(3))
    train(
        model,
        _Phantoms(),  # type: ignore[arg-type]
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
    # AdamW divides by tiny second moments in its first steps, which blows up rounding.
    worst = max(float((one[name] - two[name]).abs().max()) for name in one)
    moved = max(float((one[n] - KPrism.state_dict(_fresh())[n]).abs().max()) for n in one)
    assert worst < 0.02 * moved


def _fresh() -> KPrism:
    torch.manual_seed(5)
    return KPrism(PRESETS["kprism-nano"].config(3))


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
