"""Two processes learn what one does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.data.episode import Episode
from medprism.training.batches import draw_batch
from medprism.training.distributed import Alone, ProcessGroup, joined_processes, share_of
from medprism.training.loop import STATE_FILE
from medprism.training.recipes import kprism_nano
from medprism.training.state import read_document
from medprism.training.step import Batch, StepRandomness, TrainingStep

from .pair import SCENARIOS, Tensors, alone, fifty, go_through, kprism, make_double
from .phantom_sampler import PhantomSampler

BANKS = ("tasks", "slices", "volumes")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let two processes go through every scenario."""
    folder = tmp_path_factory.mktemp("together")
    # One process took the first steps of this run.
    alone("stopped", folder / "goes on")
    go_through(tuple(SCENARIOS), folder)
    return folder


def _left(folder: Path, name: str, rank: int = 0) -> Tensors:
    return dict(torch.load(folder / f"{name}-{rank}.pt", weights_only=True))


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    """Return what one process learns in five steps."""
    return alone("kprism", tmp_path_factory.mktemp("alone") / "run")


def _apart(one: Tensors, other: Tensors) -> float:
    """Return the largest difference of any weight or buffer."""
    names = one.keys() - {"curve", "modes"}
    assert names == other.keys() - {"curve", "modes"}
    return max(float((one[n].double() - other[n].double()).abs().max()) for n in names)


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_processes_hold_the_same_weights_prototypes_and_banks(
    together: Path, name: str
) -> None:
    first, second = _left(together, name, 0), _left(together, name, 1)
    names = first.keys() - {"curve"}
    assert all(torch.equal(first[one], second[one]) for one in names)


@pytest.mark.parametrize("name", ["kprism", "in parts"])
def test_the_loss_curve_is_that_of_one_process_with_the_whole_batch(
    together: Path, straight: Tensors, name: str
) -> None:
    two = _left(together, name)
    assert len(two["curve"]) == len(straight["curve"]) == 5
    assert torch.allclose(two["curve"], straight["curve"], rtol=0, atol=1e-5)
    assert _apart(two, straight) < 1e-6


def test_every_step_has_one_mode_for_all(together: Path, straight: Tensors) -> None:
    first, second = _left(together, "kprism", 0), _left(together, "kprism", 1)
    assert torch.equal(first["modes"], second["modes"])
    assert torch.equal(first["modes"], straight["modes"])
    assert len(set(first["modes"].tolist())) > 1


def test_batch_normalisation_is_that_of_the_whole_batch(together: Path, tmp_path: Path) -> None:
    one, two = alone("batch norm", tmp_path / "run"), _left(together, "batch norm")
    assert any(key.endswith("running_var") for key in two)
    assert torch.allclose(one["curve"], two["curve"], rtol=0, atol=1e-5)
    assert _apart(one, two) < 1e-6


def test_a_run_goes_on_with_another_number_of_processes(
    together: Path, straight: Tensors, tmp_path: Path
) -> None:
    # Two processes stopped after two steps, one takes the other three.
    assert read_document(together / "stopped" / STATE_FILE)["step"] == 2
    later = kprism(together / "stopped", Alone())
    assert _apart(later, straight) < 1e-6
    # One process stopped after two steps, two take the other three.
    joined = _left(together, "goes on")
    assert len(joined["curve"]) == 3
    assert _apart(joined, straight) < 1e-6


@pytest.mark.parametrize("name", BANKS)
def test_prototypes_and_banks_take_in_what_all_processes_saw(
    together: Path, tmp_path: Path, name: str
) -> None:
    one, two = alone(name, tmp_path / "run"), _left(together, name)
    banks = [key for key in one if "bank." in key]
    counts = [key for key in banks if key.endswith("count")]
    assert counts and all(torch.equal(one[key], two[key]) for key in counts)
    assert sum(int(one[key].sum()) for key in counts) > 0
    assert all(torch.allclose(one[key], two[key], atol=1e-5) for key in banks)
    assert torch.allclose(one["curve"].double(), two["curve"].double(), rtol=0, atol=1e-5)


def test_processes_that_begin_otherwise_are_refused(together: Path) -> None:
    for rank in range(2):
        said = (together / f"disagreement-{rank}.txt").read_text()
        assert "do not begin alike" in said and "same run folder" in said


def test_a_killed_process_ends_the_run_in_one_sentence_and_the_state_is_whole(
    together: Path, straight: Tensors
) -> None:
    said = (together / "killed.txt").read_text()
    assert said.startswith("another of the 2 processes of this run has ended")
    assert "--resume" in said
    assert [path.name for path in (together / "killed").iterdir()] == [STATE_FILE]
    assert read_document(together / "killed" / STATE_FILE)["step"] == 2
    assert _apart(kprism(together / "killed", Alone()), straight) < 1e-6


@pytest.mark.slow
def test_the_loss_curves_agree_over_fifty_steps(tmp_path: Path) -> None:
    go_through(("fifty",), tmp_path)
    two, one = _left(tmp_path, "fifty"), fifty(tmp_path / "one", Alone())
    assert len(one["curve"]) == 50
    assert torch.allclose(two["curve"], one["curve"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", range(6))
def test_the_gradients_of_two_shares_add_up_to_that_of_the_batch(step: int) -> None:
    model, config = make_double(), kprism_nano(10)
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


class _OnlyMine(PhantomSampler):
    """A sampler that spoils what does not belong to the share."""

    def draw(self, seed: int, step: int, **wishes: object) -> Episode:  # type: ignore[override]
        rank, count = wishes["share"]  # type: ignore[misc]
        episode = super().draw(seed, step, **wishes)  # type: ignore[arg-type]
        for image in range(len(episode.images)):
            if image % count != rank:
                asked = episode.image_index == image
                episode.images[image] = 77
                if episode.reference_images is not None:
                    assert episode.reference_masks is not None
                    episode.reference_images[asked] = 77
                    episode.reference_masks[asked] = 77
        return episode


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("parts", [1, 2])
def test_no_process_looks_at_what_belongs_to_another(step: int, parts: int) -> None:
    config = replace(kprism_nano(10), odds=(0.0, 1.0, 0.0))
    whole, _ = draw_batch(PhantomSampler(8), config, step)
    for rank in range(2):
        spoilt, _ = draw_batch(_OnlyMine(8), config, step, (rank, 2))
        assert not torch.equal(spoilt.images, whole.images)
        for number in range(rank, 2 * parts, 2):
            mine = share_of(whole, StepRandomness(1, step), number, 2 * parts)[0]
            found = share_of(spoilt, StepRandomness(1, step), number, 2 * parts)[0]
            for one, other in zip(vars(mine).values(), vars(found).values(), strict=True):
                assert torch.equal(one, other)


def test_more_processes_than_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 images cannot feed 3 processes"):
        share_of(_batch(2), StepRandomness(1, 2), 0, 3)


def test_a_process_group_needs_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="torchrun"):
        ProcessGroup()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with (
        pytest.raises(ConfigError, match=r"cannot join the 2 processes .* with torchrun"),
        joined_processes(),
    ):
        pass


def test_alone_everything_stays_as_it_is() -> None:
    model, replicas = torch.nn.BatchNorm2d(2), Alone()
    replicas.prepare(model)
    assert type(model) is torch.nn.BatchNorm2d
    assert replicas.combine(model, (0.25, math.pi), stop=True) == ([0.25, math.pi], True)
    assert (replicas.gather([1]), replicas.add_up(())) == ([1], ())
    replicas.agree("anything")
    replicas.wait()
