"""Which experts K-Prism listens to, by kind of knowledge [KPrism, Figure 4]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.core.progress import Progress, SilentProgress
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.benchmark import Plan, choose_slices
from medprism.evaluation.cases import StoreReader, targets_of
from medprism.evaluation.examiners import SessionExaminer
from medprism.evaluation.protocols import INTERACTIVE, ONE_SHOT, SEMANTIC, ClickLimits
from medprism.models.blocks.experts import PixelReader, PixelWriter, QueryFeedForward
from medprism.models.kprism.model import KPrism

ASKED: Final = (SEMANTIC, ONE_SHOT, INTERACTIVE)

_PARTS: Final = {
    PixelReader: "queries read",
    PixelWriter: "pixels read",
    QueryFeedForward: "queries' MLP",
}


@dataclass(frozen=True)
class GateMean:
    """The mean softmax weight of every expert of one gate; they add up to 1.

    `layer` counts the decoder's layers from 0, `part` says what the gate mixes.
    """

    layer: int
    part: str
    weights: tuple[float, ...]


def weights_by_knowledge(
    model: LoadedModel,
    store: SliceStore,
    dataset: str,
    *,
    limit: int = 20,
    progress: Progress | None = None,
) -> dict[str, tuple[GateMean, ...]]:
    """Ask by class, by one reference and by a click on slices of a set; return means by protocol.

    A mean is over queries (or pixels) of all requests. Without auto-zoom.

    Raises:
        ConfigError: the model is no K-Prism with several experts, as plain torch.
        LabelError: the store has no such set.
    """
    network = model.segmenter
    if not isinstance(network, KPrism) or not _gates(network):
        raise ConfigError(
            f"model {model.name!r} has no gates to look at; give a K-Prism with several experts, "
            "on the engine torch"
        )
    progress = progress or SilentProgress()
    plan = Plan(datasets=(dataset,), limit=limit)
    numbers = choose_slices(store, dataset, plan)
    targets = targets_of(store, dataset, model.concepts)
    found = {}
    for place, protocol in enumerate(ASKED):
        examiner = SessionExaminer(
            model,
            store,
            StoreReader(store),
            protocols=(protocol,),
            limits=ClickLimits(interactive=1),
            auto_zoom=False,
        )
        with watched(network) as means:
            for done, number in enumerate(numbers):
                progress.report(place * len(numbers) + done, len(ASKED) * len(numbers), protocol)
                examiner.examine(number, targets)
        found[protocol] = means()
    return found


@contextmanager
def watched(model: KPrism) -> Iterator[Callable[[], tuple[GateMean, ...]]]:
    """Note the gates' weights while the block runs; what is yielded returns their means so far."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            weight = gate_weights(module, inputs[0]).detach().double()
            sums[name] = sums.get(name, torch.zeros(1)) + weight.sum(0)
            counts[name] = counts.get(name, 0) + len(weight)

        return hook

    gates = _gates(model)
    handles = [part.register_forward_pre_hook(note(name)) for name, part in gates.items()]
    try:
        yield lambda: tuple(
            GateMean(
                layer=next(int(word) for word in name.split(".") if word.isdecimal()),
                part=_PARTS[type(gates[name])],
                weights=tuple((total / counts[name]).tolist()),
            )
            for name, total in sums.items()
        )
    finally:
        for handle in handles:
            handle.remove()


def gate_weights(part: nn.Module, given: Tensor) -> Tensor:
    """Return the weights of a part's experts, a row a query or pixel.

    `given` are queries (requests, queries, dim), for a `PixelWriter` pixels (requests, dim,
    positions).
    """
    rows = given.transpose(1, 2) if isinstance(part, PixelWriter) else given
    scores: Tensor = part.gate(rows)  # type: ignore[operator]
    return scores.softmax(-1).flatten(0, 1)


def mean_over_gates(means: Sequence[GateMean]) -> tuple[float, ...]:
    """Return the mean weight of every expert over all gates.

    >>> mean_over_gates([GateMean(0, "a", (0.25, 0.75)), GateMean(1, "a", (0.75, 0.25))])
    (0.5, 0.5)
    """
    columns = zip(*(one.weights for one in means), strict=True)
    return tuple(sum(column) / len(means) for column in columns)


def _gates(model: KPrism) -> dict[str, nn.Module]:
    return {
        name: part
        for name, part in model.decoder.named_modules()
        if type(part) in _PARTS and getattr(part, "gate", None) is not None
    }
