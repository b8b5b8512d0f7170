from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.models.kprism.config import EncoderConfig, kprism_base, kprism_compact
from medprism.models.kprism.encoder import AttentionBlock, Encoder, LinearAttention


@given(height=st.integers(1, 24), width=st.integers(1, 24))
@settings(max_examples=20, deadline=None)
def test_the_relative_bias_is_that_of_the_cell_a_position_lies_in(height: int, width: int) -> None:
    attention = LinearAttention(8)
    found = attention.relative_bias(height, width).detach().numpy()
    table = attention.bias_table.detach().numpy().reshape(15, 15, 4)
    expected = np.empty((4, height, width, 8, 8), np.float32)
    for row in range(height):
        for col in range(width):
            for cell_row in range(8):
                for cell_col in range(8):
                    down = 8 * row // height - cell_row + 7
                    along = 8 * col // width - cell_col + 7
                    expected[:, row, col, cell_row, cell_col] = table[down, along]
    assert np.array_equal(found, expected.reshape(4, height * width, 64))


@pytest.mark.parametrize(("height", "width"), [(5, 9), (16, 12)])
def test_linear_attention_is_its_slow_loop(height: int, width: int) -> None:
    torch.manual_seed(3)
    attention = LinearAttention(8).double()
    x = torch.randn(2, 8, height, width, dtype=torch.float64)
    with torch.no_grad():
        found = attention(x)
        q, k, v = attention.in_point(attention.in_depth(x)).chunk(3, 1)
        small = [
            torch.nn.functional.interpolate(t, (8, 8), mode="bilinear", align_corners=False)
            for t in (k, v)
        ]
        bias = attention.relative_bias(height, width)
        mixed = torch.zeros_like(x)
        for head in range(4):
            part = slice(2 * head, 2 * head + 2)
            for row in range(height):
                for col in range(width):
                    query = q[:, part, row, col]
                    scores = (query[:, :, None, None] * small[0][:, part]).sum(1) / 2**0.5
                    scores = scores.flatten(1) + bias[head, row * width + col]
                    weight = scores.softmax(-1)
                    values = small[1][:, part].flatten(2)
                    mixed[:, part, row, col] = (weight[:, None] * values).sum(-1)
        expected = attention.out_point(attention.out_depth(mixed))
    assert float((found - expected).abs().max()) <= 1e-12


def test_the_attention_block_adds_attention_then_a_pointwise_step() -> None:
    torch.manual_seed(4)
    block = AttentionBlock(8, EncoderConfig(widths=(8,) * 4, blocks=(1,) * 4)).eval()
    x = torch.randn(1, 8, 6, 10)
    between = x + block.attention(block.norm1(x))
    expected = between + block.point(block.norm2(between).relu())
    assert torch.allclose(block(x), expected, atol=1e-6)


@pytest.mark.parametrize("inputs", [3, 4])
def test_maps_lie_at_a_half_a_quarter_an_eighth_and_a_sixteenth(inputs: int) -> None:
    for config in (kprism_base().image_encoder, kprism_compact(3).mask_encoder):
        with torch.device("meta"):
            maps = Encoder(inputs, config)(torch.zeros(2, inputs, 64, 96))
        shapes = [tuple(m.shape) for m in maps]
        assert shapes == [
            (2, width, 64 // s, 96 // s)
            for width, s in zip(config.widths[-4:], (2, 4, 8, 16), strict=True)
        ]


def test_the_encoder_commutes_with_nothing_it_should_not() -> None:
    """Rows are not columns: the map of a transposed image is not the transposed map."""
    torch.manual_seed(5)
    encoder = Encoder(3, EncoderConfig(widths=(8, 8, 8, 16), blocks=(1,) * 4, attention=True))
    image = torch.randn(1, 3, 64, 64)
    plain = encoder(image)[-1].transpose(2, 3)
    turned = encoder(image.transpose(2, 3))[-1]
    assert float((plain - turned).detach().abs().max()) > 1e-3
