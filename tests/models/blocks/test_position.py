from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.models.blocks.position import fourier_points, sine_grid, sine_lattice


@given(height=st.integers(1, 9), width=st.integers(1, 9), quarter=st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_the_sine_grid_is_its_formula(height: int, width: int, quarter: int) -> None:
    dim = 4 * quarter
    device, dtype = torch.device("cpu"), torch.float32
    code = sine_grid(height, width, dim, device=device, dtype=dtype).reshape(dim, height, width)
    for row in range(height):
        for col in range(width):
            for channel in range(quarter):
                frequency = math.pi * 2 ** (5 * channel / (quarter - 1))
                down = frequency * (row + 0.5) / height
                along = frequency * (col + 0.5) / width
                expected = (math.sin(down), math.cos(down), math.sin(along), math.cos(along))
                found = code[channel::quarter, row, col].tolist()
                assert all(abs(a - b) < 1e-4 for a, b in zip(found, expected, strict=True))


def test_every_place_of_the_grid_has_its_own_code() -> None:
    code = sine_grid(16, 12, 32, device=torch.device("cpu"), dtype=torch.float64).T
    distance = torch.cdist(code, code) + 9 * torch.eye(16 * 12, dtype=torch.float64)
    assert float(distance.min()) > 0.3


def test_a_point_is_coded_by_sines_of_its_projection() -> None:
    frequencies = torch.tensor([[0.5, -1.0], [2.0, 0.25]], dtype=torch.float64)
    position = torch.tensor([[[3.0, 7.0]]], dtype=torch.float64)
    code = fourier_points(position, frequencies, 16, 32)[0, 0].tolist()
    down, along = 2 * 3.5 / 16 - 1, 2 * 7.5 / 32 - 1
    angles = [2 * math.pi * (down * a + along * b) for a, b in ((0.5, 2.0), (-1.0, 0.25))]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    assert all(abs(a - b) < 1e-12 for a, b in zip(code, expected, strict=True))


def test_row_and_column_are_not_mixed_up() -> None:
    frequencies = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    at = fourier_points(torch.tensor([[[3.0, 7.0]]]), frequencies, 48, 80)
    swapped = fourier_points(torch.tensor([[[7.0, 3.0]]]), frequencies, 48, 80)
    assert float((at - swapped).abs().max()) > 0.05


def test_a_lattice_of_two_axes_is_the_sine_grid() -> None:
    settings = {"device": torch.device("cpu"), "dtype": torch.float32}
    assert torch.equal(sine_lattice((5, 7), 16, **settings), sine_grid(5, 7, 16, **settings))


def test_a_lattice_tells_every_voxel_from_every_other() -> None:
    size = (4, 6, 5)
    code = sine_lattice(size, 20, device=torch.device("cpu"), dtype=torch.float64)
    assert code.shape == (20, 120)
    # 20 channels are three times six, and two that are left over.
    assert not code[18:].any()
    distance = torch.cdist(code.T, code.T) + 9 * torch.eye(120, dtype=torch.float64)
    assert float(distance.min()) > 0.3
    placed = code.reshape(20, *size)
    assert torch.equal(placed[:6, :, 0, 0], placed[:6, :, 3, 2])
    assert not torch.equal(placed[6:12, 0, 0], placed[6:12, 0, 1])
