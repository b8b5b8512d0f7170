"""TP-Seg: one model for many lesions, told by a task number which of them is meant [TPSeg]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from medprism.core.errors import GeometryError, LabelError, PromptError
from medprism.models.blocks.grid import crop_to, pad_to_multiple, resize_linear, size_of
from medprism.models.blocks.prototypes import BankTally, PrototypeBank
from medprism.models.segmenter import (
    Accepts,
    Decoded,
    Features,
    Prompts,
    ReferenceFeatures,
    TensorValue,
)
from medprism.models.tpseg.adapter import TaskAdapter
from medprism.models.tpseg.config import TPSegConfig
from medprism.models.tpseg.decoder import PrototypeDecoder, StepAnswer, TaskHead, pool_sides
from medprism.models.tpseg.reduction import ReceptiveBlock
from medprism.models.tpseg.trunk import HieraTrunk

Images = Float[Tensor, "images 3 height width"]
Scores = Float[Tensor, "images height width"]
Tasks = Int64[Tensor, " images"]

# Weights of the finest to the coarsest output before the softmax, at the start [TPSeg, release].
FUSION_START = (2.0, 0.0, 0.0, 0.0)
# Parts of names of tensors that have one row a task.
ROW_PARTS = frozenset({"own", "gate", "bank", "head", "fusion"})


@dataclass(frozen=True, eq=False)
class TaskAnswer(TensorValue):
    """Logits of every image's task at the size of the image.

    `logits` is the fusion of four outputs, `steps` are those of the three decoders from fine to
    coarse, `features` the maps that their prototypes are made of.
    """

    logits: Scores
    steps: tuple[Scores, ...]
    features: tuple[Float[Tensor, "images _ _ _"], ...]


class TPSeg(nn.Module):
    """Encode with adapters, decode in three prototype-guided steps, fuse four outputs by task.

    Images of a batch do not influence one another. A forward pass is pure: `remember` alone
    changes the prototypes. As a `Segmenter` it is asked by class, a task being a class; since the
    encoding depends on the task, what `encode` keeps of an image is the image.
    """

    accepts = Accepts(classes=True, references=False, clicks=False, tasks=True)
    spatial_dims = 2

    def __init__(self, config: TPSegConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = HieraTrunk(config.trunk)
        self.adapters = nn.ModuleList(
            TaskAdapter(channels, config.adapter_dim, config.num_tasks, config.adapter)
            for channels in self.trunk.inputs
        )
        reduced, middles = config.decoder.reduced, config.decoder.middles
        self.reductions = nn.ModuleList(
            ReceptiveBlock(width, narrow)
            for width, narrow in zip(config.trunk.widths, reduced, strict=True)
        )
        # From fine to coarse; the coarsest one looks at the deepest map.
        highs = (*middles[1:], reduced[-1])
        self.steps = nn.ModuleList(
            PrototypeDecoder(low, high, middle, config)
            for low, high, middle in zip(reduced[:-1], highs, middles, strict=True)
        )
        self.deep = TaskHead(reduced[-1], config.num_tasks)
        self.fusion = nn.Parameter(torch.tensor(FUSION_START).repeat(config.num_tasks, 1))

    @property
    def banks(self) -> tuple[PrototypeBank, ...]:
        """The prototypes of the three decoders, from fine to coarse."""
        return tuple(part for part in self.modules() if isinstance(part, PrototypeBank))

    def encode_for(self, image: Images, task: Tasks) -> tuple[Float[Tensor, "images _ _ _"], ...]:
        """Return the adapted maps of the trunk at 1/4, 1/8, 1/16 and 1/32."""
        maps: tuple[Tensor, ...] = self.trunk(image, lambda n, x: self.adapters[n](x, task))
        return maps

    def forward(self, image: Images, task: Tasks) -> TaskAnswer:
        """Segment standardised images whose sides are multiples of `config.trunk.multiple`.

        Raises:
            GeometryError: a side that is not a multiple.
            LabelError: a task that the model does not have.
        """
        self._check(image, task)
        maps = self.encode_for(image, task)
        reduced = [narrow(x) for narrow, x in zip(self.reductions, maps, strict=True)]
        high, answers = reduced[-1], list[StepAnswer]()
        for low, step in zip(reversed(reduced[:-1]), reversed(self.steps), strict=True):
            answers.append(step(low, high, task))
            high = answers[-1].refined
        answers.reverse()
        scores = [*(answer.logits for answer in answers), self.deep(reduced[-1], task)]
        size = size_of(image)
        raised = torch.cat([resize_linear(one[:, None], size) for one in scores], dim=1)
        weight = self.fusion.index_select(0, task).softmax(-1)[:, :, None, None]
        return TaskAnswer(
            logits=(raised * weight).sum(1),
            steps=tuple(raised[:, :-1].unbind(1)),
            features=tuple(answer.features for answer in answers),
        )

    def _check(self, image: Images, task: Tasks) -> None:
        multiple, size = self.config.trunk.multiple, size_of(image)
        if any(side % multiple or not side for side in size):
            raise GeometryError(
                f"sides must be multiples of {multiple}, got {size}; pad the image "
                "(`TPSeg.segment` does)"
            )
        if task.is_meta or not task.numel():
            return
        if not (int(task.min()) >= 0 and int(task.max()) < self.config.num_tasks):
            raise LabelError(
                f"tasks {sorted(set(task.tolist()))} do not all lie among the "
                f"{self.config.num_tasks} of this model; choose 0 to {self.config.num_tasks - 1}"
            )

    def segment(self, image: Images, task: Tasks) -> Scores:
        """Segment images of any size: the border is repeated up to a multiple, and cut off."""
        padded = pad_to_multiple(image, self.config.trunk.multiple, "edge")
        answer: TaskAnswer = self(padded, task)
        return crop_to(answer.logits[:, None], size_of(image))[:, 0]

    def tally(
        self,
        answer: TaskAnswer,
        task: Tasks,
        target: Scores,
        valid: Bool[Tensor, " images"] | None = None,
    ) -> tuple[BankTally, ...]:
        """Add up what the images say about the prototypes of their tasks, a tally a step.

        Targets are coverage in 0..1 at the size of the images; what is not `valid` is left out. A
        side that is too small to say anything is left out alone.
        """
        tallies = []
        for bank, features in zip(self.banks, answer.features, strict=True):
            means, count = pool_sides(features, target, self.config.least_pixels)
            present = count > 0
            present = present if valid is None else present & valid[:, None]
            tallies.append(bank.tally(task, F.normalize(means, dim=-1), present))
        return tuple(tallies)

    def take_in(self, tallies: tuple[BankTally, ...]) -> None:
        """Move averaged prototypes towards the means of a tally; others only count."""
        for bank, tally in zip(self.banks, tallies, strict=True):
            bank.take_in(tally)

    def remember(self, answer: TaskAnswer, task: Tasks, target: Scores) -> None:
        """Update the prototypes from ground truth."""
        self.take_in(self.tally(answer, task, target))

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Keep the canvas: what comes of it depends on the task."""
        return Features((image,))

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Refuse references.

        Raises:
            PromptError: always.
        """
        raise PromptError("TP-Seg is asked by task, not by references; choose another model")

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the concept of a request is its task.

        Raises:
            PromptError: a request without a concept, or with anything else.
        """
        said = (prompts.references, prompts.clicks, prompts.dense)
        if prompts.concept is None or any(part is not None for part in said):
            raise PromptError("TP-Seg is asked by task alone; choose another model for the rest")
        return Decoded(self.segment(features.maps[0], prompts.concept), ())


def task_rows(model: TPSeg) -> frozenset[str]:
    """Return the names of the tensors that have one row a task: what a further task adds."""
    return frozenset(name for name in model.state_dict() if ROW_PARTS & set(name.split(".")))
