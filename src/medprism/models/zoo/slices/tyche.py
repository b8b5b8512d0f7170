"""Tyche's mechanism: several candidates a question, told apart by noise [Tyche].

Clean-room, on UniverSeg's cross blocks (the publication's train-time variant). The candidates of a
query know of one another by their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor

from medprism.core.randomness import counter_rng
from medprism.models.blocks.grid import make_conv
from medprism.models.segmenter import Features, Prompts
from medprism.models.zoo.cross_unet import CrossBlock, Query, References, Valid, mean_of_valid
from medprism.models.zoo.slices.frame import RivalConfig
from medprism.models.zoo.slices.pixels import PixelRival, to_canvas

CANDIDATES: Final = 4

Noise = Float[Tensor, "requests candidates side side"]
Candidates = Float[Tensor, "requests candidates height width"]


class SetBlock(CrossBlock):
    """A cross block for the mean of a query's candidates; each of them takes up what came of it.

    z_i = A(conv[mean_k u_k, v_i]); u_k' = A(conv[u_k, mean_i z_i]); v_i' = A(conv(z_i)). Rows of
    queries are those of references, each as often as there are candidates.
    """

    def __init__(
        self,
        ndim: int,
        queries: int,
        references: int,
        outputs: int,
        *,
        for_query_only: bool = False,
    ) -> None:
        super().__init__(ndim, queries, references, outputs, for_query_only=for_query_only)
        self.query = make_conv(ndim, queries + outputs, outputs, 3, bias=True)

    def forward(
        self, query: Query, references: References, valid: Valid | None = None
    ) -> tuple[Query, References]:
        """Return both with `outputs` channels."""
        requests = len(references)
        together = reduce(query, "(r k) c ... -> r c ...", "mean", r=requests)
        crossed, after = self.pair(together, references)
        said = mean_of_valid(crossed, valid)
        beside = repeat(said, "r c ... -> (r k) c ...", k=len(query) // requests)
        return self.activate(self.query(torch.cat([query, beside], 1))), after


class Tyche(PixelRival):
    """Answers with several candidates, of which training asks that one be right.

    A session takes one map: `decode` returns the logit of the mean probability of all candidates,
    which favours none of them and has no order. The noise of a question is always the same, so
    that equal questions have equal answers; training draws another one every step. Where there are
    fewer tasks than candidates, each candidate may serve a task and none look at the references.
    """

    def __init__(self, config: RivalConfig, num_candidates: int = CANDIDATES) -> None:
        super().__init__(config, extra_channels=1, block=SetBlock)
        self.num_candidates = num_candidates

    def candidates(
        self, features: Features, prompts: Prompts, noise: Noise | None = None
    ) -> Candidates:
        """Return the logits of all candidates on the canvas.

        Raises:
            PromptError: no references.
        """
        image = self.query(features, prompts)
        if noise is None:
            side = self.config.side
            noise = draw_noise([counter_rng(0, "tyche")], self.num_candidates, side).to(image)
            noise = noise.expand(len(image), -1, -1, -1)
        pictures, valid = self.context(prompts.references, image)
        copies = repeat(image, "r c h w -> (r k) c h w", k=noise.shape[1])
        query = torch.cat([copies, rearrange(noise, "r k h w -> (r k) 1 h w")], 1)
        logits = self.crossing.segment(query, pictures, valid)
        return to_canvas(rearrange(logits, "(r k) h w -> r k h w", r=len(image)), features)

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return the logits of the mean probability, on the canvas."""
        return mean_candidate(self.candidates(features, prompts))


def draw_noise(rngs: Sequence[np.random.Generator], candidates: int, side: int) -> Noise:
    """Draw standard normal maps, one generator a request."""
    size = (candidates, side, side)
    return torch.from_numpy(np.stack([rng.standard_normal(size, np.float32) for rng in rngs]))


def mean_candidate(candidates: Candidates) -> Float[Tensor, "requests height width"]:
    """Return the logit of the mean of the candidates' probabilities, without forming them.

    >>> two = torch.tensor([0.9, 0.5]).logit().reshape(1, 2, 1, 1)
    >>> round(mean_candidate(two).sigmoid().item(), 4)
    0.7
    """
    logits = candidates.float()
    return F.logsigmoid(logits).logsumexp(1) - F.logsigmoid(-logits).logsumexp(1)
