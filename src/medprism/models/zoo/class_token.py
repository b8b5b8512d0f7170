"""A universal model that knows its classes by a table: learned tokens a class, no references.

The mechanism of [Hermes] and of models with a head a class: what to segment is a learned prior.
Encoder and mask decoder are Iris' own, so that the table alone stands in place of the task encoder.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from medprism.core.errors import LabelError
from medprism.models.blocks.unet import UNetEncoder
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.decoder import MaskDecoder
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.segmenter import Features


class ClassTokens(nn.Module):
    """Encode images, look the tokens of classes up, decode all of them in one pass.

    Of `config.task` only the number of tokens and their width count; `num_concepts` is the number
    of classes.
    """

    def __init__(self, config: IrisConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = UNetEncoder(config.body)
        size = (config.num_concepts, config.task.tokens, config.task.dim)
        self.tokens = nn.Parameter(torch.randn(size) * config.task.dim**-0.5)
        self.decoder = MaskDecoder(config)

    def encode(self, image: Float[Tensor, "images channels ..."]) -> Features:
        """Encode standardised images whose sides are multiples of `config.body.multiple`."""
        return Features(self.encoder(image))

    def look_up(self, concept: Int64[Tensor, "rows classes"]) -> TaskEmbeddings:
        """Return the learned tokens of classes, by their rows in the class table.

        Raises:
            LabelError: a row that the table does not have.
        """
        rows = self.config.num_concepts
        if concept.numel() and not (int(concept.min()) >= 0 and int(concept.max()) < rows):
            raise LabelError(
                f"classes {sorted(set(concept.flatten().tolist()))} do not all lie in the table of "
                f"{rows} rows; choose 0 to {rows - 1}"
            )
        present = torch.ones(concept.shape, dtype=torch.bool, device=concept.device)
        return TaskEmbeddings(self.tokens[concept], present)

    def decode(
        self, features: Features, tasks: TaskEmbeddings
    ) -> Float[Tensor, "images classes ..."]:
        """Return the logits of all classes that were looked up, at full size."""
        logits: Tensor = self.decoder(features, tasks)
        return logits

    def forward(
        self,
        image: Float[Tensor, "images channels ..."],
        concept: Int64[Tensor, "images classes"],
    ) -> Float[Tensor, "images classes ..."]:
        """Segment the classes that are asked for on each image."""
        return self.decode(self.encode(image), self.look_up(concept))
