"""SAM2-UNet's mechanism: a frozen trunk, one adapter before every block for all tasks [SAM2UNet].

Clean-room, at our scale: the trunk and the reductions are TP-Seg's, and so is the form of an
adapter; the way up is a UNet's with three outputs. What the publication lacks is a task: its
output has one channel, here one a task, since all methods that are compared know the task.
"""

from __future__ import annotations

from torch import nn

from medprism.models.tpseg.adapter import TaskAdapter
from medprism.models.tpseg.config import TPSegConfig
from medprism.models.tpseg.model import TaskAnswer
from medprism.models.zoo.pyramid import Images, Pyramid, Tasks, channel_of, raise_all


class SAM2UNet(nn.Module):
    """Shared adapters, no prototypes; the finest of three outputs is the answer.

    Of the settings, those of adapter and prototypes are not looked at.
    """

    def __init__(self, config: TPSegConfig) -> None:
        super().__init__()
        self.config = config
        self.pyramid = Pyramid(config)
        self.adapters = nn.ModuleList(
            TaskAdapter(channels, config.adapter_dim, config.num_tasks, "shared")
            for channels in self.pyramid.trunk.inputs
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(width, config.num_tasks, 1) for width in config.decoder.reduced[:-1]
        )

    @property
    def trunk(self) -> nn.Module:
        """What the adapters adapt."""
        return self.pyramid.trunk

    def forward(self, image: Images, task: Tasks) -> TaskAnswer:
        """Return logits of images whose sides are multiples of the trunk's."""
        _, raised = self.pyramid(image, lambda n, x: self.adapters[n](x, task))
        scores = [channel_of(head(x), task) for head, x in zip(self.heads, raised, strict=True)]
        finest, *others = raise_all(scores, image)
        return TaskAnswer(logits=finest, steps=tuple(others), features=())
