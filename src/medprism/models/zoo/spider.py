"""Spider's mechanism: prompts of lesion and background become the filters of a task [Spider].

Clean-room, at our scale and on TP-Seg's trunk. The publication pools a group of a task's training
images under their masks with a frozen encoder, anew at every use; here the running average of such
means is kept, so that a test image needs no examples, as with the other methods that are compared.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medprism.models.blocks.prototypes import PrototypeBank
from medprism.models.tpseg.config import TPSegConfig
from medprism.models.tpseg.decoder import BACKGROUND, LESION, SIDES, pool_sides
from medprism.models.tpseg.model import TaskAnswer
from medprism.models.zoo.pyramid import Images, Maps, Pyramid, Tasks, raise_all

# Which of the reduced maps the prompts are pooled from: 1/8.
PROMPT_LEVEL = 1


class FilterGenerator(nn.Module):
    """Turn the two prompts of a task into the last filter: logits = w . x + b.

    The weights come of the lesion's prompt, the bias of the background's, each beside the direction
    in which the two differ. The publication lets a transformer read the group before the filter is
    made; of an average there is nothing more to read.
    """

    def __init__(self, prompt: int, channels: int) -> None:
        super().__init__()
        self.vector = _mlp(2 * prompt, channels)
        self.bias = _mlp(2 * prompt, 1)

    def forward(
        self, prompts: Float[Tensor, "images 2 prompt"], x: Maps
    ) -> Float[Tensor, "images height width"]:
        """Return the logits of every position of `x`."""
        lesion, background = prompts[:, LESION], prompts[:, BACKGROUND]
        apart = F.normalize(lesion - background, dim=-1)
        vector: Tensor = self.vector(torch.cat([lesion, apart], dim=-1))
        bias = self.bias(torch.cat([background, apart], dim=-1))
        flat = (vector[:, None] @ x.flatten(2))[:, 0] + bias
        scores: Tensor = flat.reshape(len(x), *x.shape[2:])
        return scores


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 2 * inputs), nn.GELU(), nn.Linear(2 * inputs, outputs))


class Spider(nn.Module):
    """One set of weights for all tasks; what is of a task is two prompts, which no gradient moves.

    Of the settings, those of adapter and prototype mode are not looked at.
    """

    def __init__(self, config: TPSegConfig) -> None:
        super().__init__()
        self.config = config
        reduced = config.decoder.reduced
        self.pyramid = Pyramid(config)
        self.bank = PrototypeBank(
            config.num_tasks,
            SIDES,
            reduced[PROMPT_LEVEL],
            momentum=config.prototype_momentum,
            unit_length=True,
        )
        self.filters = FilterGenerator(reduced[PROMPT_LEVEL], reduced[0])

    def forward(self, image: Images, task: Tasks) -> TaskAnswer:
        """Return logits of images whose sides are multiples of the trunk's."""
        reduced, raised = self.pyramid(image)
        prompts, _ = self.bank(task)
        scores = self.filters(prompts.to(raised[0].dtype), raised[0])
        (logits,) = raise_all((scores,), image)
        return TaskAnswer(logits=logits, steps=(), features=(reduced[PROMPT_LEVEL],))

    def remember(
        self, answer: TaskAnswer, task: Tasks, target: Float[Tensor, "images height width"]
    ) -> None:
        """Move the prompts of the tasks by ground truth (coverage in 0..1)."""
        means, count = pool_sides(answer.features[0], target, self.config.least_pixels)
        self.bank.update(task, F.normalize(means, dim=-1), count > 0)
