"""Any method as what a session drives: asked by task, on pictures of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medprism.core.concepts import ConceptTable
from medprism.engines.engine import REFERENCE_ENGINE
from medprism.engines.loaded import LoadedModel
from medprism.models.blocks.grid import crop_to, pad_to_multiple, size_of
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures
from medprism.models.tpseg.model import TaskAnswer

# What the sides of a canvas must be a multiple of for every method (the trunk's, see HieraConfig).
MULTIPLE = 32


class SeparateModels(nn.Module):
    """A model a task; each image goes to the model of its task."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, image: Tensor, task: Tensor) -> TaskAnswer:
        """Return the logits of each image's task."""
        logits = image.new_zeros(len(image), *image.shape[2:])
        for number in sorted(set(task.tolist())):
            mine = (task == number).nonzero()[:, 0]
            logits[mine] = self.models[number](image[mine], torch.zeros_like(mine)).logits
        return TaskAnswer(logits=logits, steps=(), features=())


class AskedByTask(nn.Module):
    """A `Segmenter` of a model that takes images and tasks; the concept of a request is its task.

    The canvas is padded by its border where the model needs larger sides, as TP-Seg does itself.
    """

    accepts = Accepts(classes=True, references=False, clicks=False, tasks=True)
    spatial_dims = 2

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def encode(self, image: Tensor) -> Features:
        """Keep the canvas: what comes of it depends on the task."""
        return Features((image,))

    def encode_references(self, image: Tensor, mask: Tensor, valid: Tensor) -> ReferenceFeatures:
        """Refuse references.

        Raises:
            NotImplementedError: always; nothing here is asked by references.
        """
        raise NotImplementedError("these methods are asked by task alone")

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment the canvas by the task of each request."""
        (image,) = features.maps
        padded = pad_to_multiple(image, MULTIPLE, "edge")
        logits = self.model(padded, prompts.concept).logits
        return Decoded(crop_to(logits[:, None], size_of(image))[:, 0], ())


def as_loaded(
    model: nn.Module, concepts: ConceptTable, long_side: int, weights_hash: str
) -> LoadedModel:
    """Return a method as a model that is ready to segment."""
    return LoadedModel(
        name=weights_hash,
        segmenter=AskedByTask(model.eval()),
        concepts=concepts,
        long_side=long_side,
        weights_hash=weights_hash,
        engine=REFERENCE_ENGINE,
        threads=torch.get_num_threads(),
        card={},
    )
