"""Verse-style: K-Prism without references and without a mixture of experts [Verse].

Class queries and click queries in one decoder, marks added to its maps: that is K-Prism with what
it adds taken away again, so that there is nothing to write but what is left out.
"""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Bool, Float
from torch import Tensor

from medprism.core.errors import PromptError
from medprism.models.kprism.config import KPrismConfig
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures
from medprism.models.zoo.slices.frame import RivalConfig, check_asked


def verse_config(config: RivalConfig) -> KPrismConfig:
    """Return the settings of the K-Prism beside which the rivals stand, with one expert.

    >>> from medprism.models.zoo.slices.frame import rival_compact
    >>> verse_config(rival_compact(33)).decoder.read_experts
    1
    """
    decoder = replace(config.kprism.decoder, read_experts=1, feed_experts=1)
    return replace(config.kprism, decoder=decoder)


class Verse(KPrism):
    """K-Prism's classes and clicks."""

    accepts = Accepts(classes=True, references=False, clicks=True)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(verse_config(config))
        del self.mask_encoder, self.summary
        # The decoder is handed these whether it needs them or not.
        self.context.requires_grad_(False)

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1).

        Raises:
            PromptError: the mechanism knows no references.
        """
        raise PromptError(f"{type(self).__name__} takes no references; choose another model")

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`.

        Raises:
            PromptError: a request by references, or by nothing.
        """
        check_asked(type(self).__name__, self.accepts, prompts)
        return super().decode(features, prompts)
