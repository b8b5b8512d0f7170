from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medprism.models.blocks.position import sine_grid
from medprism.models.kprism.config import DecoderConfig
from medprism.models.kprism.decoder import (
    Decoder,
    DecoderInput,
    FineHead,
    MaskHead,
    PixelFeedForward,
)
from medprism.models.kprism.knowledge import ContextQueries, Sparse

DIM, HEIGHT, WIDTH = 8, 32, 48
DOUBLE = torch.float64


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def shaken(module: nn.Module) -> nn.Module:
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module.to(DOUBLE).requires_grad_(False)


def make_decoder(strides: tuple[int, ...]) -> Decoder:
    decoder = Decoder(
        DecoderConfig(
            dim=DIM,
            heads=2,
            read_experts=2,
            feed_experts=3,
            strides=strides,
            pixel_hidden=(6,) * len(strides),
            feed_hidden=7,
            head_hidden=5,
            head_blocks=1,
        )
    )
    shaken(decoder)
    return decoder


def make_input(*, with_context: bool, with_previous: bool) -> DecoderInput:
    requests, queries = 2, 5
    sees = torch.tensor([[True, True, False, True, False], [True, False, False, True, True]])
    valid = torch.tensor([[True, True, True, True, False], [True] * 5])
    sparse = Sparse(
        normal(requests, queries, DIM, seed=1), normal(requests, queries, DIM, seed=2), sees, valid
    )
    pixels = {s: normal(requests, DIM, HEIGHT // s, WIDTH // s, seed=10 + s) for s in (16, 8, 4)}
    context = {s: normal(requests, 2, DIM, seed=20 + s) for s in (16, 8, 4)}
    previous = normal(requests, HEIGHT, WIDTH, seed=30).sigmoid()
    return DecoderInput(
        pixels, sparse, context if with_context else None, previous if with_previous else None
    )


def resized(x: Tensor, like: Tensor) -> Tensor:
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(x[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def slow_decode(decoder: Decoder, given: DecoderInput, tables: ContextQueries) -> list[Tensor]:
    """Follow the seven steps of the specification, section 1, layer by layer."""
    level = dict(zip((16, 8, 4), decoder.level, strict=True))
    maps = {s: p + level[s][:, None, None] for s, p in given.pixels.items()}
    sparse, queries = given.sparse, given.sparse.content.clone()
    before: Tensor | None = None
    foreground: Tensor | None = None
    if given.previous is not None:
        foreground = resized(given.previous, maps[decoder.config.strides[0]]) >= 0.5
    seen_strides, outputs = set(), []
    for number, stride in enumerate(decoder.config.strides):
        layer, here = decoder.layers[number], maps[stride]
        if before is not None:
            here = here + decoder.resample[number - 1](before)
        position = sparse.position.clone()
        if given.context is not None:
            position[:, :2] += tables.to_position(given.context[stride])
            if stride not in seen_strides:
                queries = queries.clone()
                queries[:, :2] += tables.to_content(given.context[stride])
        seen_strides.add(stride)
        allowed = None
        if foreground is not None:
            allowed = torch.ones(*queries.shape[:2], here.shape[2] * here.shape[3]).bool()
            for request in range(queries.shape[0]):
                for query in range(queries.shape[1]):
                    wanted = foreground[request].flatten()
                    if not sparse.sees_foreground[request, query]:
                        wanted = ~wanted
                    allowed[request, query] = wanted if wanted.any() else True
        flat = here.flatten(2)
        grid = sine_grid(
            here.shape[2], here.shape[3], DIM, device=torch.device("cpu"), dtype=DOUBLE
        )
        queries = layer.read(queries, position, flat, grid, allowed)
        queries = layer.attend(queries, position, sparse.valid)
        queries = layer.feed(queries)
        flat = layer.write(flat, grid, queries, position, sparse.valid)
        before = layer.pixel_feed(flat.unflatten(2, (here.shape[2], here.shape[3])))
        maps[stride] = before
        logits = decoder.heads[str(stride)](before)
        outputs.append(logits)
        following = decoder.config.strides[(number + 1) % len(decoder.config.strides)]
        foreground = resized(logits, given.pixels[following]).sigmoid() >= 0.5
    return outputs


@pytest.mark.parametrize("strides", [(16, 8, 4), (16, 8, 4, 16, 8, 4), (8, 4)])
@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("with_previous", [True, False])
def test_the_decoder_follows_the_steps_of_the_specification(
    strides: tuple[int, ...], with_context: bool, with_previous: bool
) -> None:
    decoder = make_decoder(strides)
    tables = ContextQueries(2, DIM)
    shaken(tables)
    given = make_input(with_context=with_context, with_previous=with_previous)
    output = decoder(given, tables)
    expected = slow_decode(decoder, given, tables)
    assert len(output.logits) == len(strides)
    for found, wanted in zip(output.logits, expected, strict=True):
        assert float((found - wanted).abs().max()) <= 1e-9


def test_the_given_pixels_are_left_as_they_were() -> None:
    given = make_input(with_context=True, with_previous=True)
    copies = {s: p.clone() for s, p in given.pixels.items()}
    tables = ContextQueries(2, DIM)
    shaken(tables)
    make_decoder((16, 8, 4))(given, tables)
    assert all(torch.equal(given.pixels[s], copies[s]) for s in copies)


def test_scales_are_joined_by_strided_convolutions() -> None:
    decoder = make_decoder((16, 8, 4, 16, 8, 4))
    kinds = [(type(r), r.kernel_size, r.stride) for r in decoder.resample]
    up, down = (nn.ConvTranspose2d, (2, 2), (2, 2)), (nn.Conv2d, (4, 4), (4, 4))
    assert kinds == [up, up, down, up, up]


def test_the_pixel_step_scales_channels_by_a_gate_over_their_means() -> None:
    module = PixelFeedForward(DIM, 6)
    shaken(module)
    x = normal(2, DIM, 4, 6, seed=3)
    hidden = module.conv2(module.conv1(x.relu()).relu())
    kernel = module.gate.weight[0, 0]
    pooled = F.pad(hidden.mean((2, 3)), (2, 2))
    score = torch.stack([(pooled[:, c : c + 5] * kernel).sum(1) for c in range(DIM)], 1)
    expected = x + hidden * score.sigmoid()[..., None, None]
    assert float((module(x) - expected).abs().max()) <= 1e-12


def test_the_mask_head_has_residual_pairs() -> None:
    module = MaskHead(DIM, 5, 2)
    shaken(module)
    x = normal(2, DIM, 4, 6, seed=3)
    hidden = module.enter(x).relu()
    for pair in module.pairs:
        assert isinstance(pair, nn.ModuleList)
        hidden = hidden + pair[1](pair[0](hidden.relu()).relu())
    assert float((module(x) - module.leave(hidden.relu())[:, 0]).abs().max()) <= 1e-12


def test_the_fine_head_corrects_the_doubled_logits() -> None:
    module = FineHead(DIM, 7, 6)
    shaken(module)
    pixels, encoder = normal(2, DIM, 4, 6, seed=1), normal(2, 7, 8, 12, seed=2)
    marks, coarse = normal(2, 3, 16, 24, seed=3), normal(2, 4, 6, seed=4)
    with torch.no_grad():
        module.leave.weight.zero_()
        module.leave.bias.zero_()
    doubled = resized(coarse, encoder)
    assert float((module(pixels, encoder, marks, coarse) - doubled).abs().max()) <= 1e-12
    shaken(module)
    with_marks = module(pixels, encoder, marks, coarse)
    without = module(pixels, encoder, None, coarse)
    assert with_marks.shape == without.shape == (2, 8, 12)
    assert float((with_marks - without).abs().max()) > 1e-3
