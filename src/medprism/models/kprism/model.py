"""K-Prism: classes, references and clicks in one 2-D model [KPrism]."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.kprism.config import KPrismConfig
from medprism.models.kprism.decoder import STRIDES, Decoder, DecoderInput, FineHead
from medprism.models.kprism.encoder import make_encoder
from medprism.models.kprism.knowledge import (
    ClassTable,
    ClickQueries,
    ContextQueries,
    ReferenceSummary,
    Sparse,
    pooled_summary,
    read_references,
    unit_power,
)
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures


class PromptEncoder(nn.Module):
    """Marks and previous probability as maps at 1/4, 1/8 and 1/16, added to projected pixels."""

    def __init__(self, widths: tuple[int, int, int, int], dim: int) -> None:
        super().__init__()
        steps, inputs = [], 3
        for width in widths:
            groups = 32 if width % 32 == 0 and width >= 256 else max(1, width // 8)
            steps.append(
                nn.Sequential(
                    nn.Conv2d(inputs, width, 3, 2, 1), nn.ReLU(), nn.GroupNorm(groups, width)
                )
            )
            inputs = width
        self.steps = nn.ModuleList(steps)
        self.widen = nn.ModuleList(
            nn.Identity() if width == dim else nn.Conv2d(width, dim, 1) for width in widths[1:]
        )

    def forward(
        self, dense: Float[Tensor, "requests 3 height width"]
    ) -> dict[int, Float[Tensor, "requests dim _ _"]]:
        """Return one map for each stride."""
        maps, x = [], dense
        for step in self.steps:
            x = step(x)
            maps.append(x)
        widened = [widen(m) for widen, m in zip(self.widen, maps[1:], strict=True)]
        return dict(zip((4, 8, 16), widened, strict=True))


class Projection(nn.Sequential):
    """conv1x1 and group normalisation onto the decoder's width."""

    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__(nn.Conv2d(inputs, dim, 1), nn.GroupNorm(min(32, dim // 4), dim))


class KPrism(nn.Module):
    """Encode images and references once, decode any request: absent knowledge is absent."""

    spatial_dims = 2
    accepts = Accepts(classes=True, references=True, clicks=True)

    def __init__(self, config: KPrismConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.decoder.dim
        widths = config.image_encoder.widths
        coarse_first = (3, 2, 1)
        self.image_encoder = make_encoder(3, config.image_encoder)
        self.mask_encoder = make_encoder(4, config.mask_encoder)
        self.project = nn.ModuleDict(
            {
                str(s): Projection(widths[-4 + i], dim)
                for s, i in zip(STRIDES, coarse_first, strict=True)
            }
        )
        mask_widths = tuple(config.mask_encoder.widths[-4 + i] for i in coarse_first)
        self.summary = ReferenceSummary(mask_widths, dim, config.context_queries)
        self.prompt_encoder = PromptEncoder(config.prompt_widths, dim)
        self.classes = ClassTable(config.num_concepts, config.class_queries, dim)
        self.context = ContextQueries(config.context_queries, dim)
        self.clicks = ClickQueries(dim, config.click_hidden)
        self.decoder = Decoder(config.decoder)
        self.fine_head: FineHead | None = None
        if config.decoder.fine_hidden:
            self.fine_head = FineHead(dim, widths[-4], config.decoder.fine_hidden)

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        return Features(self.image_encoder(image))

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1)."""
        requests, refs = image.shape[:2]
        flat_image = rearrange(image, "r n c h w -> (r n) c h w")
        flat_mask = rearrange(mask, "r n h w -> (r n) h w")
        keys = self.image_encoder(flat_image)[-1]
        if self.config.normalise_keys:
            keys = unit_power(keys, dim=1)
        maps = self.mask_encoder(torch.cat([flat_image, flat_mask[:, None]], dim=1))
        sums, totals = self.summary((maps[-1], maps[-2], maps[-3]), flat_mask)
        real = rearrange(valid, "r n -> (r n)").to(sums.dtype)
        sums = sums * real[:, None, None, None]
        totals = totals * real[:, None, None]
        cells = keys.shape[-2] * keys.shape[-1]
        return ReferenceFeatures(
            keys=rearrange(keys, "(r n) c h w -> r (n h w) c", r=requests),
            values=rearrange(maps[-1], "(r n) c h w -> r (n h w) c", r=requests),
            valid=valid.repeat_interleave(cells, dim=1),
            summary=rearrange(sums, "(r n) s q d -> r n s q d", n=refs).sum(1),
            weight=rearrange(totals, "(r n) s q -> r n s q", n=refs).sum(1),
        )

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`."""
        canvas = (features.maps[0].shape[-2] * 2, features.maps[0].shape[-1] * 2)
        coarse = features.maps[-1]
        fuses = self.config.fuses_maps
        dense = prompts.dense if fuses else None
        if prompts.references is not None and fuses:
            if self.config.normalise_keys:
                coarse = unit_power(coarse, dim=1)
            coarse = read_references(coarse, prompts.references).to(coarse.dtype)
        by_stride = {4: features.maps[-3], 8: features.maps[-2], 16: coarse}
        pixels = {s: self.project[str(s)](by_stride[s]) for s in STRIDES}
        sparse, context = self._sparse(prompts, tuple(pixels.values()), canvas)
        previous = None
        if dense is not None:
            marks = self.prompt_encoder(dense)
            pixels = {s: pixels[s] + marks[s] for s in STRIDES}
            previous = dense[:, 2]
        output = self.decoder(DecoderInput(pixels, sparse, context, previous), self.context)
        logits = output.logits
        if self.fine_head is not None:
            fine = self.fine_head(output.pixels, features.maps[0], dense, logits[-1])
            logits = [*logits, fine]
        return Decoded(logits[-1], tuple(logits[:-1]))

    def _sparse(
        self,
        prompts: Prompts,
        pixels: tuple[Float[Tensor, "requests dim _ _"], ...],
        canvas: tuple[int, int],
    ) -> tuple[Sparse, dict[int, Float[Tensor, "requests queries dim"]] | None]:
        groups, context = [], None
        says_more = prompts.references is not None or prompts.clicks is not None
        if says_more and not self.config.has_queries:
            size = (len(pixels[0]), self.config.context_queries, self.config.decoder.dim)
            groups.append(self.context(pixels[0].new_zeros(size)))
        elif prompts.references is not None:
            pooled = pooled_summary(prompts.references)
            context = {stride: pooled[:, i] for i, stride in enumerate(STRIDES)}
            groups.append(self.context(pooled[:, 0]))
        if prompts.concept is not None:
            groups.append(self.classes(prompts.concept))
        if prompts.clicks is not None and self.config.has_queries:
            groups.append(self.clicks(prompts.clicks, pixels, canvas))
        if not groups:
            raise ConfigError("a request needs a class, a reference or a click; it has none")
        return Sparse.join(groups), context
