"""SAM's mechanism: clicks are tokens, and one token more becomes the filter of the mask [SAM].

Clean-room, on slices and K-Prism's encoder. Tokens and the image at 1/16 attend to each other in
both directions; the output token then makes, by an MLP, the vector that every pixel of the raised
map is multiplied with. Left out: several masks at once and the estimate of their quality. Unlike
SAM's, the way up sees the encoder's finer maps, as in all rivals here.

Marks are seen as points alone: a scribble, box or lasso by the points along it that it brings. Of
the canvas' maps only the previous mask is read, which is SAM's mask prompt.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.models.blocks.grid import size_of
from medprism.models.blocks.position import fourier_points
from medprism.models.blocks.residual import make_norm
from medprism.models.blocks.two_way import FeedTokens, MixTokens, ReadGrid, WriteGrid
from medprism.models.segmenter import Accepts, Clicks, Features, Prompts
from medprism.models.zoo.slices.frame import Rival, RivalConfig, WayUp

LAYERS = 2
HEAD_WIDTH = 16
FEED = 2
# The previous mask is cut twice into patches of 4: down to 1/16.
PATCH = 4
FOURIER_SEED = 20260102

Tokens = Float[Tensor, "requests tokens dim"]
Grid = Float[Tensor, "requests dim positions"]


class TwoWayLayer(nn.Module):
    """Tokens see one another, read the image and are fed; then the image reads the tokens.

    Unlike SAM's, it normalises before each step, so that places once added stay in the sum.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        heads = dim // HEAD_WIDTH
        self.mix = MixTokens(dim, heads, "stack")
        self.grid_norm = nn.LayerNorm(dim)
        self.read = ReadGrid(dim, heads)
        self.feed = FeedTokens(dim, FEED * dim)
        self.write = WriteGrid(dim, heads)

    def forward(
        self,
        tokens: Tokens,
        valid: Bool[Tensor, "requests tokens"],
        grid: Grid,
        place: Float[Tensor, "dim positions"],
    ) -> tuple[Tokens, Grid]:
        """Return both anew; a token that is not valid is seen by nobody."""
        tokens = self.mix(tokens[:, :, None], valid)[:, :, 0]
        seen = self.grid_norm(grid.transpose(1, 2)).transpose(1, 2)
        tokens = self.feed(self.read(tokens, seen, place))
        return tokens, self.write(grid, seen + place, tokens, valid)


class SamStyle(Rival):
    """Clicks as tokens, the previous mask as a map, an output token that becomes a filter."""

    accepts = Accepts(classes=False, references=False, clicks=True)
    frequencies: Tensor

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config)
        dim, width = self.widths[-1], config.width
        generator = torch.Generator("cpu").manual_seed(FOURIER_SEED)
        drawn = torch.randn(2, dim // 2, generator=generator, device="cpu")
        self.register_buffer("frequencies", drawn)
        # Rows: negative, positive.
        self.label = nn.Parameter(torch.randn(2, dim))
        self.output = nn.Parameter(torch.randn(1, dim))
        self.mask_prompt = nn.Sequential(
            nn.Conv2d(1, dim // 4, PATCH, PATCH),
            make_norm("group", dim // 4),
            nn.GELU(),
            nn.Conv2d(dim // 4, dim, PATCH, PATCH),
        )
        self.layers = nn.ModuleList(TwoWayLayer(dim) for _ in range(LAYERS))
        self.grid_norm = nn.LayerNorm(dim)
        self.last_read = ReadGrid(dim, dim // HEAD_WIDTH)
        self.way_up = WayUp(self.widths, width)
        self.to_filter = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width)
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def tokens(
        self, clicks: Clicks, canvas: tuple[int, int]
    ) -> tuple[Tokens, Bool[Tensor, "requests tokens"]]:
        """Return the output token and one token a click, and which of them are real."""
        place = fourier_points(clicks.position, self.frequencies, *canvas)
        said = place.to(self.label.dtype) + self.label[clicks.is_positive.long()]
        output = self.output.expand(len(said), 1, -1)
        always = torch.ones(len(said), 1, dtype=torch.bool, device=said.device)
        return torch.cat([output, said], 1), torch.cat([always, clicks.valid], 1)

    def places(self, grid: tuple[int, ...], canvas: tuple[int, int]) -> Float[Tensor, "dim cells"]:
        """Return the codes of a grid's cells, in the same terms as those of clicks."""
        device = self.frequencies.device
        rows, cols = (
            (torch.arange(count, device=device) + 0.5) * side / count - 0.5
            for count, side in zip(grid, canvas, strict=True)
        )
        centres = torch.cartesian_prod(rows, cols)[None]
        return fourier_points(centres, self.frequencies, *canvas)[0].t()

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2.

        Raises:
            PromptError: clicks or the maps of the canvas are missing.
        """
        if prompts.clicks is None or prompts.dense is None:
            raise PromptError("points are read from clicks, the previous mask from maps; give both")
        *finer, coarse = features.maps
        canvas = (prompts.dense.shape[2], prompts.dense.shape[3])
        tokens, valid = self.tokens(prompts.clicks, canvas)
        place = self.places(size_of(coarse), canvas).to(coarse.dtype)
        grid = (coarse + self.mask_prompt(prompts.dense[:, 2:])).flatten(2)
        for layer in self.layers:
            tokens, grid = layer(tokens, valid, grid, place)
        seen = self.grid_norm(grid.transpose(1, 2)).transpose(1, 2)
        tokens = self.last_read(tokens, seen, place)
        x = self.way_up([*finer, grid.reshape(coarse.shape)])
        logits: Tensor = self.to_filter(tokens[:, :1]) @ x.flatten(2)
        logits = logits[:, 0] * self.config.width**-0.5 + self.bias
        return logits.reshape(len(x), *size_of(x))
