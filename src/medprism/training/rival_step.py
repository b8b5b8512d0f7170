"""How rivals of K-Prism learn: its batches, its rounds, its loss and its optimizer."""

from __future__ import annotations

from typing import Final

from medprism.core.errors import ConfigError
from medprism.models.kprism.model import KPrism
from medprism.models.zoo.slices.frame import Rival
from medprism.models.zoo.slices.roster import RIVALS
from medprism.training.config import TrainConfig
from medprism.training.loop import Learner, MakeLearner
from medprism.training.optim import make_optimizer
from medprism.training.step import TrainingStep
from medprism.training.tyche_step import learn_tyche


def learn_rival(model: Rival | KPrism, config: TrainConfig) -> Learner:
    """Return the learner of a run of a rival, which has one output or those of K-Prism."""
    weights = config.output_weights if isinstance(model, KPrism) else (1.0,)
    step = TrainingStep(model, weights, config.later_weight)
    return Learner(step, make_optimizer(model, config))


# Rivals whose loss is not that of K-Prism's rounds.
OWN_LEARNERS: Final[dict[str, MakeLearner]] = {"tyche": learn_tyche}


def learner_of(name: str) -> MakeLearner:
    """Return how the rival of that name learns.

    Raises:
        ConfigError: no rival has that name.
    """
    if name not in RIVALS:
        raise ConfigError(f"no rival is called {name!r}; there are {', '.join(RIVALS)}")
    return OWN_LEARNERS.get(name, learn_rival)
