"""A reference and its masks become tokens: the foreground and the context stream [Iris, Sec. 3].

Everything runs on the feature grid. The literal forms (upsample, mask, pool; PixelShuffle,
concatenate, convolve, PixelUnshuffle) are the oracles of `tests/models/iris/literal.py`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.models.blocks.grid import make_conv, size_of, space_to_depth
from medprism.models.blocks.masked_pool import pool_under_masks
from medprism.models.blocks.position import sine_lattice
from medprism.models.blocks.two_way import FeedTokens, MixTokens, ReadGrid
from medprism.models.iris.config import TaskConfig
from medprism.models.iris.embedding import TaskEmbeddings

Map = Float[Tensor, "rows channels ..."]
Masks = Float[Tensor, "rows classes ..."]
ClassMaps = Float[Tensor, "rows classes dim ..."]


def coarse_masks(masks: Masks, size: tuple[int, ...]) -> Masks:
    """Bring masks to the feature grid as a mask file would be: the nearest voxel."""
    return F.interpolate(masks, size, mode="nearest-exact")


class ShuffledMask(nn.Module):
    """The mask enters at full resolution, in exact low-resolution form.

    PixelShuffle spreads c * stride^ndim channels as c channels over the sub-voxels of each
    position; a 1x1 convolution there maps the c channels and the mask to c channels;
    PixelUnshuffle gathers them again. As the convolution is the same in every sub-voxel, it is one
    c x c matrix on the channels of each sub-voxel plus the mask's sub-voxels times a vector.
    """

    def __init__(self, config: TaskConfig, channels: int, ndim: int) -> None:
        super().__init__()
        self.stride, self.detail = config.stride, config.detail
        cells = config.stride**ndim
        wide = config.detail * cells
        self.widen: nn.Module = nn.Identity()
        if wide != channels:
            self.widen = make_conv(ndim, channels, wide, 1)
        # Inputs of the convolution: the c channels, then the mask.
        self.merge = nn.Linear(config.detail + 1, config.detail)
        self.narrow: nn.Module = nn.Identity()
        if wide != config.dim:
            self.narrow = make_conv(ndim, wide, config.dim, 1)

    def forward(self, features: Map, masks: Masks) -> ClassMaps:
        """Return the features with each class's mask mixed in; they are mixed once for all."""
        rows, classes = masks.shape[:2]
        spread = rearrange(self.widen(features), "r (c s) ... -> r s ... c", c=self.detail)
        weight = self.merge.weight
        shared = F.linear(spread, weight[:, :-1], self.merge.bias)
        marks = space_to_depth(masks, self.stride).to(shared.dtype)
        mixed = shared[:, None] + marks[..., None] * weight[:, -1]
        gathered = rearrange(mixed, "r k s ... c -> (r k) (c s) ...")
        narrowed: Tensor = self.narrow(gathered)
        return narrowed.reshape(rows, classes, *narrowed.shape[1:])


class StridedMask(nn.Module):
    """The mask enters through a strided convolution and is added [KPrism, release]."""

    def __init__(self, config: TaskConfig, channels: int, ndim: int) -> None:
        super().__init__()
        self.narrow = make_conv(ndim, channels, config.dim, 1)
        self.mask = make_conv(ndim, 1, config.dim, config.stride, stride=config.stride, bias=True)
        self.merge = make_conv(ndim, config.dim, config.dim, 1, bias=True)

    def forward(self, features: Map, masks: Masks) -> ClassMaps:
        """Return the features with each class's mask mixed in."""
        rows, classes = masks.shape[:2]
        single = rearrange(masks, "r k ... -> (r k) 1 ...").to(features.dtype)
        marks = self.mask(single)
        shared = self.narrow(features).repeat_interleave(classes, dim=0)
        merged: Tensor = self.merge(shared + marks)
        return merged.reshape(rows, classes, *merged.shape[1:])


class CoarseMask(nn.Module):
    """The mask enters on the feature grid: the ablation without high-resolution masks."""

    def __init__(self, config: TaskConfig, channels: int, ndim: int) -> None:
        super().__init__()
        self.shared = make_conv(ndim, channels, config.dim, 1, bias=True)
        self.mark = nn.Parameter(torch.randn(config.dim) / channels**0.5)

    def forward(self, features: Map, masks: Masks) -> ClassMaps:
        """Return the features with each class's mask mixed in."""
        marks = coarse_masks(masks, size_of(features)).to(features.dtype)
        weighted = marks[..., None] * self.mark
        mixed: Tensor = self.shared(features)[:, None] + rearrange(
            weighted, "r k ... c -> r k c ..."
        )
        return mixed


class ContextLayer(nn.Module):
    """Query tokens read the reference, see one another and are fed; pre-norm."""

    def __init__(self, config: TaskConfig) -> None:
        super().__init__()
        self.read = ReadGrid(config.dim, config.heads)
        self.mix = MixTokens(config.dim, config.heads, "class")
        self.feed = FeedTokens(config.dim, config.dim * config.feed)

    def forward(
        self,
        tokens: Float[Tensor, "stacks tokens dim"],
        grid: Float[Tensor, "stacks dim positions"],
        place: Float[Tensor, "dim positions"] | None,
        allowed: Bool[Tensor, "stacks tokens positions"] | None,
    ) -> Float[Tensor, "stacks tokens dim"]:
        """Return the updated tokens."""
        tokens = self.read(tokens, grid, place, allowed)
        everything = torch.ones(len(tokens), 1, dtype=torch.bool, device=tokens.device)
        mixed = self.mix(tokens[:, None], everything)[:, 0]
        fed: Tensor = self.feed(mixed)
        return fed


class ContextStream(nn.Module):
    """`queries` learned tokens read the features into which a class's mask was mixed."""

    def __init__(self, config: TaskConfig, channels: int, ndim: int) -> None:
        super().__init__()
        entries = {"shuffle": ShuffledMask, "strided": StridedMask, "coarse": CoarseMask}
        self.config = config
        self.enter: nn.Module = entries[config.mask_entry](config, channels, ndim)
        self.queries = nn.Parameter(torch.randn(config.queries, config.dim) * config.dim**-0.5)
        self.norm = nn.LayerNorm(config.dim)
        self.layers = nn.ModuleList(ContextLayer(config) for _ in range(config.layers))

    def forward(self, features: Map, masks: Masks) -> Float[Tensor, "rows classes tokens dim"]:
        """Return T_c of every class."""
        rows, classes = masks.shape[:2]
        grid = rearrange(self.enter(features, masks), "r k c ... -> (r k) (...) c")
        grid = self.norm(grid).transpose(1, 2)
        place = None
        if self.config.has_position:
            place = sine_lattice(
                size_of(features), self.config.dim, device=grid.device, dtype=grid.dtype
            )
        allowed = None
        if self.config.reads_foreground_only:
            inside = coarse_masks(masks, size_of(features)) > 0
            allowed = repeat(inside.flatten(2), "r k p -> (r k) q p", q=self.config.queries)
        tokens = repeat(self.queries, "q c -> n q c", n=rows * classes)
        for layer in self.layers:
            tokens = layer(tokens, grid, place, allowed)
        return rearrange(tokens, "(r k) q c -> r k q c", r=rows)


class TaskEncoder(nn.Module):
    """Encode every class of every reference into tokens T = [T_f; T_c]."""

    def __init__(self, config: TaskConfig, channels: int, ndim: int) -> None:
        super().__init__()
        self.config = config
        self.foreground: nn.Module | None = None
        if config.has_foreground:
            same = channels == config.dim
            self.foreground = nn.Identity() if same else nn.Linear(channels, config.dim)
        self.context = ContextStream(config, channels, ndim) if config.queries else None

    def forward(
        self,
        features: Map,
        masks: Masks,
        valid: Bool[Tensor, "rows classes"] | None = None,
    ) -> TaskEmbeddings:
        """Encode; masks are coverage in 0..1 at full size, `valid` is False for padding.

        A class with an empty mask is absent, whatever `valid` says.
        """
        present = masks.flatten(2).amax(-1) > 0
        present = present if valid is None else present & valid
        groups = []
        if self.foreground is not None:
            groups.append(self.foreground(self._pool(features, masks))[:, :, None])
        if self.context is not None:
            groups.append(self.context(features, masks))
        tokens = torch.cat(groups, dim=2)
        return TaskEmbeddings(tokens * present[..., None, None].to(tokens.dtype), present)

    def _pool(self, features: Map, masks: Masks) -> Float[Tensor, "rows classes channels"]:
        if self.config.mask_entry == "coarse":
            masks = coarse_masks(masks, size_of(features))
        return pool_under_masks(features, masks, self.config.pooling)
