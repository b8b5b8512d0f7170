"""What is compared: K-Prism, its ablations, Iris on slices, and the rivals of the zoo.

All weights start at random and all learn from the same store by the same loop: what differs is the
mechanism, and with it what a batch can ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from torch import nn

from medprism.models.iris.config import IrisConfig, iris_compact_2d, iris_kprism2d, iris_nano_2d
from medprism.models.iris.slices import SliceIris
from medprism.models.kprism.config import KPrismConfig, kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Accepts
from medprism.models.zoo.slices.frame import RivalConfig, rival_compact, rival_nano
from medprism.models.zoo.slices.roster import RIVALS, Entry
from medprism.training.config import TrainConfig
from medprism.training.iris.slice_step import learn_slices
from medprism.training.loop import MakeLearner, learn_everything
from medprism.training.rival_step import learner_of

Odds = tuple[float, float, float]


@dataclass(frozen=True)
class Size:
    """How large all systems are, and the recipe's numbers at that size."""

    kprism: Callable[[int], KPrismConfig]
    iris: Callable[[int], IrisConfig]
    simple_iris: Callable[[int], IrisConfig]
    rival: Callable[[int], RivalConfig]
    peak_rate: float
    bfloat16: bool


SIZES: Final[Mapping[str, Size]] = {
    "compact": Size(
        kprism_compact, iris_compact_2d, iris_kprism2d, rival_compact, peak_rate=8e-4, bfloat16=True
    ),
    "nano": Size(
        kprism_nano, iris_nano_2d, iris_nano_2d, rival_nano, peak_rate=3e-3, bfloat16=False
    ),
}

# As the paper draws its batches: by class, by references, by marks [KPrism, 4.1].
JOINT: Final[Odds] = TrainConfig.odds


@dataclass(frozen=True)
class System:
    """One row of a table: how it is built for a number of classes, and how it learns.

    `odds` are those of batches asking by class, by references, by marks alone. `group` is the part
    of a table that it stands in. `asks` limits what it is examined by to what it has learned; None
    is all that it accepts. `needs` is a package that medprism does not bring.
    """

    title: str
    build: Callable[[Size, int], nn.Module]
    make_learner: MakeLearner
    odds: Odds
    group: str
    asks: Accepts | None = None
    needs: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a package that it is built of is not installed."""
        return self.needs is not None and find_spec(self.needs) is None


OURS: Final = "ours"
ABLATION: Final = "ablation"
RECREATION: Final = "re-creation at the same budget"


def _kprism(
    title: str,
    odds: Odds = JOINT,
    group: str = ABLATION,
    **changes: Any,  # noqa: ANN401
) -> System:
    """Return K-Prism with other settings, those of its decoder among them."""
    return System(title, partial(_build_kprism, changes=changes), learn_everything, odds, group)


def _build_kprism(size: Size, classes: int, changes: Mapping[str, Any]) -> KPrism:
    config = size.kprism(classes)
    own = {name: value for name, value in changes.items() if hasattr(config, name)}
    decoder = {name: value for name, value in changes.items() if name not in own}
    return KPrism(replace(config, decoder=replace(config.decoder, **decoder), **own))


def _single(knowledge: str, asks: Accepts) -> System:
    """Return K-Prism that learns by one kind of knowledge alone [KPrism, ablation]."""
    odds = (float(asks.classes), float(asks.references), float(asks.clicks))
    return replace(_kprism(f"K-Prism, trained by {knowledge} alone", odds), asks=asks)


def _rival(name: str, entry: Entry) -> System:
    return System(
        entry.title,
        lambda size, classes: entry.build(size.rival(classes)),
        learner_of(name),
        entry.odds,
        RECREATION,
        needs=entry.needs,
    )


def _iris(title: str, config: Callable[[Size], Callable[[int], IrisConfig]]) -> System:
    return System(
        title,
        lambda size, classes: SliceIris(config(size)(classes)),
        learn_slices,
        (0.0, 1.0, 0.0),
        RECREATION,
    )


SYSTEMS: Final[Mapping[str, System]] = {
    "kprism": _kprism("K-Prism", group=OURS),
    "iris": _iris("Iris (2-D)", lambda size: size.iris),
    "iris-simplified": _iris("Iris as K-Prism's tables mean it", lambda size: size.simple_iris),
    **{name: _rival(name, entry) for name, entry in RIVALS.items()},
    "kprism-no-read-experts": _kprism("K-Prism, one expert in its attention", read_experts=1),
    "kprism-no-feed-experts": _kprism("K-Prism, one expert in its MLP", feed_experts=1),
    "kprism-no-experts": _kprism("K-Prism, one expert", read_experts=1, feed_experts=1),
    "kprism-no-maps": _kprism("K-Prism, nothing 2-D is fused", fuses_maps=False),
    "kprism-no-queries": _kprism("K-Prism, no queries of references or clicks", has_queries=False),
    "kprism-2-experts": _kprism("K-Prism, 2 experts", read_experts=2, feed_experts=2),
    "kprism-4-experts": _kprism("K-Prism, 4 experts", read_experts=4, feed_experts=4),
    "kprism-5-experts": _kprism("K-Prism, 5 experts", read_experts=5, feed_experts=5),
    "kprism-by-class": _single("class", Accepts(classes=True, references=False, clicks=False)),
    "kprism-by-reference": _single(
        "references", Accepts(classes=False, references=True, clicks=False)
    ),
    "kprism-by-marks": _single("marks", Accepts(classes=False, references=False, clicks=True)),
}
