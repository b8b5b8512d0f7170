"""What is compared: TP-Seg, its ablations, and other ways to make one model of many tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from medprism.models.blocks.prototypes import BankMode
from medprism.models.tpseg.config import AdapterKind, TPSegConfig, tpseg_compact, tpseg_nano
from medprism.models.tpseg.model import TaskAnswer, TPSeg
from medprism.models.zoo.pyramid import channel_of
from medprism.models.zoo.sam2unet import SAM2UNet
from medprism.models.zoo.spider import Spider
from medprism.models.zoo.unet import UNet, UNetConfig
from medprism.training.config import PhaseConfig, TrainConfig
from medprism.training.initial import draw_weights
from medprism.training.recipes import tpseg_compact as compact_recipe
from medprism.training.recipes import tpseg_nano as nano_recipe


@dataclass(frozen=True)
class Size:
    """How large all methods are: TP-Seg's settings and recipe, a UNet's widths, the long side."""

    config: Callable[[int], TPSegConfig]
    recipe: Callable[[int], TrainConfig]
    widths: tuple[int, ...]
    long_side: int


SIZES: Final = {
    "tpseg-compact": Size(tpseg_compact, compact_recipe, (16, 32, 64, 96, 128), 256),
    "tpseg-nano": Size(tpseg_nano, nano_recipe, (4, 8, 12), 64),
}


class UNetOfTasks(nn.Module):
    """One plain UNet with a channel a task: what is shared is everything but the last layer."""

    def __init__(self, tasks: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.unet = UNet(UNetConfig(classes=tasks, widths=widths))

    def forward(
        self, image: Float[Tensor, "images 3 height width"], task: Int64[Tensor, " images"]
    ) -> TaskAnswer:
        """Return the logits of each image's task."""
        return TaskAnswer(logits=channel_of(self.unet(image), task), steps=(), features=())


Build = Callable[[Size, int], nn.Module]


@dataclass(frozen=True)
class Method:
    """How a model is built, and what of the recipe is not TP-Seg's.

    `joint_share` is the share of the steps in which trunk and decoder learn and adapters do not;
    1 where there are none. With `is_separate` every task has a model of its own, each trained for
    its part of the steps.
    """

    title: str
    build: Build
    joint_share: float = PhaseConfig().joint_share
    rate: float | None = None
    is_separate: bool = False

    def config(self, size: Size, steps: int) -> TrainConfig:
        """Return the settings of a run."""
        recipe = size.recipe(steps)
        rate = recipe.peak_rate if self.rate is None else self.rate
        return replace(recipe, peak_rate=rate, phases=PhaseConfig(joint_share=self.joint_share))


def _tpseg(adapter: AdapterKind = "dual", prototypes: BankMode = "ema") -> Build:
    return lambda size, tasks: TPSeg(
        replace(size.config(tasks), adapter=adapter, prototype_mode=prototypes)
    )


def _unet(size: Size, tasks: int) -> nn.Module:
    return UNetOfTasks(tasks, size.widths)


# The rate at which the UNet of `medprism evaluate --baselines UNet` learns.
UNET_RATE: Final = 4e-3

METHODS: Final[dict[str, Method]] = {
    "tpseg": Method("TP-Seg (dual adapters, averaged prototypes)", _tpseg()),
    "tpseg-shared": Method("TP-Seg, shared adapters", _tpseg(adapter="shared")),
    "tpseg-task": Method("TP-Seg, task adapters alone (the release)", _tpseg(adapter="task")),
    "tpseg-learned": Method("TP-Seg, learned prototypes", _tpseg(prototypes="learned")),
    "tpseg-frozen": Method("TP-Seg, frozen random prototypes", _tpseg(prototypes="frozen")),
    "sam2-unet": Method(
        "SAM2-UNet-style (shared adapters, no prototypes)",
        lambda size, tasks: SAM2UNet(size.config(tasks)),
    ),
    "spider": Method(
        "Spider-style (prompts become filters)",
        lambda size, tasks: Spider(size.config(tasks)),
        joint_share=1.0,
    ),
    "unet": Method("one UNet", _unet, joint_share=1.0, rate=UNET_RATE),
    "tpseg-per-task": Method("a TP-Seg for each task", _tpseg(), is_separate=True),
    "unet-per-task": Method(
        "a UNet for each task", _unet, joint_share=1.0, rate=UNET_RATE, is_separate=True
    ),
}
REFERENCE: Final = "tpseg"
RIVALS: Final = ("tpseg", "tpseg-per-task", "sam2-unet", "spider", "unet", "unet-per-task")
ABLATIONS: Final = ("tpseg", "tpseg-shared", "tpseg-task", "tpseg-learned", "tpseg-frozen")


def build(method: Method, size: Size, tasks: int, seed: int) -> nn.Module:
    """Return a model of one method; the same seed draws the same weights."""
    return draw_weights(seed, lambda: method.build(size, tasks))
