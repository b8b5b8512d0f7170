"""A hierarchical transformer trunk: windows of attention, four maps, each half as large [Hiera].

Positions are channels last inside the trunk. The layout is that of the trunk of SAM 2: a stage
begins with a block that pools its queries and still attends in the windows of the stage before.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.preprocess import CENTRE, SCALE
from medprism.models.tpseg.config import PATCH_STRIDE, HieraConfig

Positions = Float[Tensor, "images height width channels"]

# What changes the input of a block, by its number: an adapter.
Adapt = Callable[[int, Tensor], Tensor]

PATCH_KERNEL = 7
# Of red, green and blue from 0 to 1; what the trunks of SAM 2 were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class HieraTrunk(nn.Module):
    """Embed overlapping patches, then run the blocks of four stages."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        embed, side = config.embed, config.windows[0]
        self.pixels = config.pixels
        self.patches = nn.Conv2d(3, embed, PATCH_KERNEL, PATCH_STRIDE, PATCH_KERNEL // 2)
        self.place = nn.Parameter(_small(1, embed, config.place_grid, config.place_grid))
        self.place_in_window = nn.Parameter(_small(1, embed, side, side))
        blocks = _blocks(config)
        self.blocks = nn.ModuleList(blocks)
        # Channels of every block's input, which is what adapters change.
        self.inputs = tuple(block.norm1.weight.shape[0] for block in blocks)
        self.lasts = tuple(total - 1 for total in accumulate(config.blocks))

    def forward(
        self, image: Float[Tensor, "images 3 height width"], adapt: Adapt | None = None
    ) -> tuple[Float[Tensor, "images _ _ _"], ...]:
        """Return the maps at 1/4, 1/8, 1/16 and 1/32, channels first.

        The input of every block goes through `adapt` first.
        """
        x = self.patches(to_imagenet(image) if self.pixels == "imagenet" else image)
        x = rearrange(x + self._place(x.shape[2], x.shape[3]), "b c h w -> b h w c")
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x if adapt is None else adapt(number, x))
            if number in self.lasts:
                maps.append(rearrange(x, "b h w c -> b c h w").contiguous())
        return tuple(maps)

    def _place(self, height: int, width: int) -> Float[Tensor, "1 channels height width"]:
        """Return the codes of all positions: a smooth map, and the place inside a window."""
        smooth = F.interpolate(self.place, (height, width), mode="bicubic", align_corners=False)
        side = self.place_in_window.shape[-1]
        times = {"i": -(-height // side), "j": -(-width // side)}
        tiled = repeat(self.place_in_window, "o c u v -> o c (i u) (j v)", **times)
        return smooth + tiled[:, :, :height, :width]


class HieraBlock(nn.Module):
    """Attention within windows and an MLP, each on normalised input and added to it.

    With `pools` the queries are pooled over 2 x 2 positions, which halves the map; the window is
    halved with it. `window` None attends to the whole map.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        heads: int,
        window: int | None,
        feed: int,
        *,
        pools: bool,
    ) -> None:
        super().__init__()
        self.heads, self.window, self.pools = heads, window, pools
        self.norm1 = nn.LayerNorm(inputs, eps=1e-6)
        self.project = nn.Linear(inputs, 3 * outputs)
        self.combine = nn.Linear(outputs, outputs)
        self.widen = nn.Linear(inputs, outputs) if inputs != outputs else None
        self.norm2 = nn.LayerNorm(outputs, eps=1e-6)
        self.inner = nn.Linear(outputs, outputs * feed)
        self.outer = nn.Linear(outputs * feed, outputs)

    def forward(self, x: Positions) -> Float[Tensor, "images rows cols outputs"]:
        """Return the block's map, half as large where the block pools."""
        normed = self.norm1(x)
        kept = x if self.widen is None else self.widen(normed)
        kept = pool(kept) if self.pools else kept
        side, size = self.window, (kept.shape[1], kept.shape[2])
        if side is None:
            read = self._attend(normed)
        else:
            read = self._attend(into_windows(normed, side))
            read = from_windows(read, side // 2 if self.pools else side, size)
        x = kept + read
        fed: Tensor = self.outer(F.gelu(self.inner(self.norm2(x))))
        return x + fed

    def _attend(self, x: Positions) -> Float[Tensor, "images rows cols outputs"]:
        """Attend within each map of a batch."""
        query, key, value = self.project(x).chunk(3, dim=-1)
        query = pool(query) if self.pools else query
        size = {"h": query.shape[1], "w": query.shape[2]}
        query, key, value = (
            rearrange(part, "b h w (n k) -> b n (h w) k", n=self.heads)
            for part in (query, key, value)
        )
        read = F.scaled_dot_product_attention(query, key, value)
        combined: Tensor = self.combine(rearrange(read, "b n (h w) k -> b h w (n k)", **size))
        return combined


def to_imagenet(
    image: Float[Tensor, "images 3 height width"],
) -> Float[Tensor, "images 3 height width"]:
    """Return images from -2 to 2 on the scale of ImageNet: less its mean, in its deviations.

    Before the first convolution and not folded into its weights, since its padding is zeros on
    this scale.
    """
    mean = image.new_tensor(IMAGENET_MEAN)[:, None, None]
    deviation = image.new_tensor(IMAGENET_DEVIATION)[:, None, None]
    return ((image * SCALE + CENTRE) / 255 - mean) / deviation


def pool(x: Positions) -> Float[Tensor, "images rows cols channels"]:
    """Take the largest value of every 2 x 2 cell."""
    pooled = F.max_pool2d(rearrange(x, "b h w c -> b c h w"), 2)
    return rearrange(pooled, "b c h w -> b h w c")


def into_windows(x: Positions, side: int) -> Float[Tensor, "windows side side channels"]:
    """Cut maps into windows, the far ends filled up with zeros."""
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    return rearrange(padded, "b (i u) (j v) c -> (b i j) u v c", u=side, v=side)


def from_windows(
    windows: Float[Tensor, "windows side side channels"], side: int, size: tuple[int, int]
) -> Positions:
    """Put windows together to maps of a size, what was filled up left out."""
    rows, cols = -(-size[0] // side), -(-size[1] // side)
    joined = rearrange(windows, "(b i j) u v c -> b (i u) (j v) c", i=rows, j=cols)
    return joined[:, : size[0], : size[1]]


def _blocks(config: HieraConfig) -> list[HieraBlock]:
    blocks: list[HieraBlock] = []
    inputs, former = config.embed, config.windows[0]
    for stage, (outputs, repeats) in enumerate(zip(config.widths, config.blocks, strict=True)):
        for index in range(repeats):
            begins = index == 0 and stage > 0
            window = former if begins else config.windows[stage]
            blocks.append(
                HieraBlock(
                    inputs,
                    outputs,
                    config.heads * 2**stage,
                    None if len(blocks) in config.global_blocks else window,
                    config.feed,
                    pools=begins,
                )
            )
            inputs = outputs
        former = config.windows[stage]
    return blocks


def _small(*shape: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(shape), std=0.02)
