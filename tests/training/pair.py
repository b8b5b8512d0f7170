"""What two processes go through together, and one alone for comparison: a model, steps, a file.

Starting a process costs seconds, so that all scenarios share one pair.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medprism.core.errors import ConfigError, LostProcessError
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Decoded, Features, Prompts, ReferenceFeatures
from medprism.training.config import TrainConfig
from medprism.training.distributed import Alone, ProcessGroup, Replicas
from medprism.training.iris.slice_step import learn_slices
from medprism.training.loop import MakeLearner, Schedule, learn_everything, train
from medprism.training.memory_settings import MemorySettings
from medprism.training.recipes import iris_nano_2d, kprism_nano
from medprism.training.task_step import learn_tasks
from tests.phantoms import NAMES

from .iris.nano import make_learner, nano_config, nano_episodes
from .iris.test_slice_step import make_slices
from .phantom_sampler import PhantomSampler
from .runs import Notes
from .shown_boxes import ShownBoxes
from .two_tasks import BoxSampler, make_tasks, task_config

Tensors = dict[str, Tensor]
SECONDS = 240


class InDouble(KPrism):
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


def make_double(*, batch_norm: bool = False) -> KPrism:
    """Build a nano in double precision, with batch normalisation in place of groups if asked."""
    config = PRESETS["kprism-nano"].config(len(NAMES))
    if batch_norm:
        encoders = {
            name: replace(getattr(config, name), norm="batch")
            for name in ("image_encoder", "mask_encoder")
        }
        config = replace(config, **encoders)
    torch.manual_seed(5)
    return InDouble(config).double()


@dataclass
class Curve(Notes):
    """Notes that also keep the loss of every step as a number."""

    losses: list[float] = field(default_factory=list)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.losses += [value for name, value in values.items() if name.startswith("loss/")]

    def tensors(self) -> Tensors:
        kinds = [message.split()[0] for _, _, message in self.reported if message]
        order = ("semantic", "in-context", "interactive")
        return {
            "curve": torch.tensor(self.losses, dtype=torch.float64),
            "modes": torch.tensor([order.index(kind) for kind in kinds]),
        }


def learn(
    model: nn.Module,
    sampler: Any,  # noqa: ANN401
    config: TrainConfig,
    folder: Path,
    replicas: Replicas,
    make: MakeLearner = learn_everything,
    *,
    notes: Curve | None = None,
    memory: MemorySettings | None = None,
    save_every: int = 100,
) -> Tensors:
    """Train, and return weights, buffers, the loss of every step and its mode."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    notes = notes or Curve()
    train(
        model,
        sampler,
        config,
        folder,
        schedule=Schedule(log_every=1, save_every=save_every),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
        replicas=replicas,
        make_learner=make,
        memory=memory,
    )
    return {**model.state_dict(), **notes.tensors()}


def kprism(folder: Path, replicas: Replicas, steps: int = 5) -> Tensors:
    """K-Prism's own loop, in double."""
    return learn(make_double(), PhantomSampler(8), kprism_nano(steps), folder, replicas)


def in_parts(folder: Path, replicas: Replicas) -> Tensors:
    """The same, each process's share in two parts, with activations computed twice."""
    memory = MemorySettings(accumulate=2, recompute=True)
    config = kprism_nano(5)
    return learn(make_double(), PhantomSampler(8), config, folder, replicas, memory=memory)


def batch_norm(folder: Path, replicas: Replicas) -> Tensors:
    """K-Prism with batch normalisation; two processes compute activations twice as well."""
    model, memory = make_double(batch_norm=True), MemorySettings(recompute=replicas.count > 1)
    return learn(model, PhantomSampler(8), kprism_nano(3), folder, replicas, memory=memory)


def stopped(folder: Path, replicas: Replicas) -> Tensors:
    """The first two of five steps."""
    notes, model = Curve(stop_after=2), make_double()
    return learn(model, PhantomSampler(8), kprism_nano(5), folder, replicas, notes=notes)


def tasks(folder: Path, replicas: Replicas) -> Tensors:
    """TP-Seg with its prototypes; weights hardly move, so that AdamW does not blow rounding up."""
    config = task_config(3, peak_rate=1e-7, final_rate=1e-7)
    return learn(make_tasks(), BoxSampler(), config, folder, replicas, learn_tasks)


def slices(folder: Path, replicas: Replicas) -> Tensors:
    """Iris on slices with its bank."""
    config = replace(iris_nano_2d(3), peak_rate=1e-7, final_rate=1e-7)
    return learn(make_slices(), ShownBoxes(), config, folder, replicas, learn_slices)


def volumes(folder: Path, replicas: Replicas) -> Tensors:
    """Iris on volumes with its bank."""
    from medprism.training.iris.loop import train_volumes

    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    config = nano_config(1, peak_rate=1e-7)
    learner, notes = make_learner(config), Curve()
    learner.replicas = replicas
    train_volumes(
        learner,
        nano_episodes().draw,
        config,
        folder,
        schedule=Schedule(log_every=1),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
        replicas=replicas,
        recompute=True,
    )
    return {**learner.model.state_dict(), "curve": torch.tensor(notes.losses)}


SCENARIOS: dict[str, Callable[[Path, Replicas], Tensors]] = {
    "kprism": kprism,
    "in parts": in_parts,
    "batch norm": batch_norm,
    "stopped": stopped,
    "goes on": kprism,
    "tasks": tasks,
    "slices": slices,
    "volumes": volumes,
}


def alone(name: str, folder: Path) -> Tensors:
    """Go through a scenario with one process."""
    return SCENARIOS[name](folder, Alone())


def fifty(folder: Path, replicas: Replicas) -> Tensors:
    """Fifty steps of K-Prism."""
    return kprism(folder, replicas, 50)


def disagree(replicas: Replicas) -> str:
    """Return what a process says that begins with something else than the other."""
    try:
        replicas.agree(f"I am {replicas.rank}")
    except ConfigError as error:
        return str(error)
    return ""


class _Killed(Curve):
    """Ends its process as the kernel does when memory is short, once two steps are done."""

    def report(self, done: int, total: int, message: str = "") -> None:
        if done == 2 and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def be_killed(folder: Path, replicas: Replicas) -> str:
    """Train until the second process is killed; return what the first one says."""
    try:
        learn(
            make_double(),
            PhantomSampler(8),
            kprism_nano(5),
            folder,
            replicas,
            notes=_Killed(),
            save_every=1,
        )
    except LostProcessError as error:
        return str(error)
    return ""


def go_through(names: Sequence[str], folder: Path) -> None:
    """Let two processes go through scenarios in FOLDER; each leaves NAME-RANK.pt.

    The last one ends with the second process killed; the first leaves what it says in killed.txt.
    """
    rendezvous = f"file://{folder / 'rendezvous'}"
    context = multiprocessing.get_context("spawn")
    pair = [
        context.Process(target=_process, args=(rank, rendezvous, tuple(names), folder))
        for rank in range(2)
    ]
    with _ended(pair):
        for process in pair:
            process.start()
        for process in pair:
            process.join(SECONDS)
        assert [process.exitcode for process in pair] == [0, -signal.SIGKILL]


@contextmanager
def _ended(pair: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in pair:
            if process.is_alive():
                process.kill()


def _process(rank: int, rendezvous: str, names: tuple[str, ...], folder: Path) -> None:
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    replicas = ProcessGroup()
    for name in names:
        scenario = fifty if name == "fifty" else SCENARIOS[name]
        torch.save(scenario(folder / name, replicas), folder / f"{name}-{rank}.pt")
    (folder / f"disagreement-{rank}.txt").write_text(disagree(replicas))
    said = be_killed(folder / "killed", replicas)
    (folder / "killed.txt").write_text(said)
