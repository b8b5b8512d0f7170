"""Iris on slices behind the contract of a session: asked by references, or by class from its bank.

Volumes have a contract of their own (`models.iris.model`), with all classes in one pass; a session
asks slice by slice and class by class, as it asks every other model of slices.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from medprism.core.errors import ConfigError, PromptError
from medprism.models.blocks.prototypes import BankTally
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.iris.model import Iris
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures


class SliceIris(nn.Module):
    """A two-dimensional Iris as a `Segmenter`.

    What it keeps of references is the sum of their tokens (`summary`) and how many show the class
    (`weight`), so that several references are the context ensemble [Iris, Sec. 3]. It attends to
    no position of theirs; `keys` and `values` are empty. Where a request names a class and shows
    references, the references say what is meant: the bank is for requests without any.

    Raises:
        ConfigError: settings of volumes.
    """

    accepts = Accepts(classes=True, references=True, clicks=False)
    spatial_dims = 2

    def __init__(self, config: IrisConfig) -> None:
        super().__init__()
        if config.body.ndim != 2:
            raise ConfigError(
                f"a session works on slices, and these settings have {config.body.ndim} axes; "
                "choose a preset of slices"
            )
        self.iris = Iris(config)

    @property
    def config(self) -> IrisConfig:
        """Its settings."""
        return self.iris.config

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        return self.iris.encode(image)

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1)."""
        tasks = self.iris.encode_references(
            rearrange(image, "n r c h w -> (n r) c h w"),
            rearrange(mask, "n r h w -> (n r) 1 h w"),
            rearrange(valid, "n r -> (n r) 1"),
        )
        present = rearrange(tasks.present, "(n r) 1 -> n r", n=len(image)).to(tasks.tokens.dtype)
        tokens = rearrange(tasks.tokens, "(n r) 1 t d -> n r t d", n=len(image))
        weight = present.sum(1)[:, None, None].expand(-1, 1, tokens.shape[2])
        nothing = tokens.new_zeros(len(image), 0, tokens.shape[3])
        return ReferenceFeatures(
            keys=nothing,
            values=nothing,
            valid=valid.new_zeros(len(image), 0),
            summary=(tokens * present[:, :, None, None]).sum(1)[:, None],
            weight=weight,
        )

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`.

        Raises:
            PromptError: a request with marks, or with neither references nor a class.
            LabelError: a class that the bank does not have.
        """
        if prompts.clicks is not None or prompts.dense is not None:
            raise PromptError("Iris takes no clicks; ask by references or by class")
        if prompts.references is not None:
            tasks = mean_tasks(prompts.references)
        elif prompts.concept is not None:
            tasks = self.iris.recall(prompts.concept[:, None])
        else:
            raise PromptError("Iris is asked by references or by class; give one of them")
        return Decoded(self.iris.decode(features, tasks)[:, 0], ())

    def tally(
        self, concept: Int64[Tensor, " requests"], references: ReferenceFeatures
    ) -> BankTally:
        """Add up what the references of a batch say about their classes; below 0 is no class."""
        tasks = mean_tasks(references)
        present = tasks.present & (concept >= 0)[:, None]
        slots = present.expand(-1, tasks.tokens.shape[2])
        return self.iris.bank.tally(concept.clamp(min=0), tasks.tokens[:, 0], slots)

    def take_in(self, tally: BankTally) -> None:
        """Move the bank towards the means of a tally."""
        self.iris.bank.take_in(tally)


def mean_tasks(references: ReferenceFeatures) -> TaskEmbeddings:
    """Return one class a request: the mean over its references that show it, absent if none do."""
    weight = references.weight[:, 0]
    shown = weight > 0
    mean = references.summary[:, 0] / torch.where(shown, weight, torch.ones_like(weight))[..., None]
    return TaskEmbeddings(mean[:, None], shown.all(-1, keepdim=True))
