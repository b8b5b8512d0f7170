"""How rivals of K-Prism learn: its batches, its rounds, its loss and its optimizer."""

from __future__ import annotations

from medprism.models.kprism.model import KPrism
from medprism.models.zoo.slices.frame import Rival
from medprism.training.config import TrainConfig
from medprism.training.loop import Learner
from medprism.training.optim import make_optimizer
from medprism.training.step import TrainingStep


def learn_rival(model: Rival | KPrism, config: TrainConfig) -> Learner:
    """Return the learner of a run of a rival, which has one output or those of K-Prism."""
    weights = config.output_weights if isinstance(model, KPrism) else (1.0,)
    step = TrainingStep(model, weights, config.later_weight)
    return Learner(step, make_optimizer(model, config))
