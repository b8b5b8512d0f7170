from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medprism.models.blocks.position import fourier_points
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
from medprism.models.segmenter import Clicks, ReferenceFeatures

DOUBLE = torch.float64


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def make_references(
    requests: int, positions: int, channels: int, valid: Tensor | None = None, seed: int = 2
) -> ReferenceFeatures:
    if valid is None:
        valid = torch.ones(requests, positions, dtype=torch.bool)
    return ReferenceFeatures(
        keys=normal(requests, positions, channels, seed=seed),
        values=normal(requests, positions, channels, seed=seed + 1),
        valid=valid,
        summary=normal(requests, 3, 6, 8, seed=seed + 2),
        weight=normal(requests, 3, 6, seed=seed + 3).abs(),
    )


def slow_readout(query: Tensor, references: ReferenceFeatures) -> Tensor:
    """Carry values over position by position: softmax of -|k - q|^2 / sqrt(C)."""
    result = torch.zeros_like(query)
    for request in range(query.shape[0]):
        for row in range(query.shape[2]):
            for col in range(query.shape[3]):
                at = query[request, :, row, col]
                scores, values = [], []
                for place in range(references.keys.shape[1]):
                    if references.valid[request, place]:
                        away = float((references.keys[request, place] - at).square().sum())
                        scores.append(-away / math.sqrt(query.shape[1]))
                        values.append(references.values[request, place])
                weight = torch.tensor(scores, dtype=DOUBLE).softmax(0)
                result[request, :, row, col] = (weight[:, None] * torch.stack(values)).sum(0)
    return result


@given(
    requests=st.integers(1, 2),
    positions=st.integers(1, 6),
    channels=st.integers(1, 5),
    size=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    seed=st.integers(0, 999),
)
@settings(max_examples=30, deadline=None)
def test_the_readout_is_its_slow_loop(
    requests: int, positions: int, channels: int, size: tuple[int, int], seed: int
) -> None:
    valid = normal(requests, positions, seed=seed) > 0
    valid[:, 0] = True
    references = make_references(requests, positions, channels, valid, seed)
    query = normal(requests, channels, *size, seed=seed + 9)
    difference = read_references(query, references) - slow_readout(query, references)
    assert float(difference.abs().max()) <= 1e-9


def test_the_nearest_reference_position_wins_the_readout() -> None:
    references = make_references(1, 4, 3)
    far_apart = ReferenceFeatures(
        keys=40 * references.keys,
        values=references.values,
        valid=references.valid,
        summary=references.summary,
        weight=references.weight,
    )
    query = far_apart.keys[:, 2, :, None, None]
    carried = read_references(query, far_apart)[0, :, 0, 0]
    assert torch.allclose(carried, references.values[0, 2])


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
    scale=st.floats(0.1, 1e3),
)
@settings(max_examples=30, deadline=None)
def test_unit_power_forgets_the_length_of_a_vector(
    shape: tuple[int, int, int, int], scale: float
) -> None:
    x = normal(*shape) + 2
    found = unit_power(scale * x, dim=1)
    power = (scale * x).square().mean(1, keepdim=True)
    assert float((found - scale * x / (power + 1e-4).sqrt()).abs().max()) <= 1e-12
    assert float((found.square().mean(1) - 1).abs().max()) < 0.1
    assert unit_power(0 * x, dim=1).eq(0).all()


def slow_click_content(maps: tuple[Tensor, ...], at: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Average the 3 x 3 cells around floor(x / s) on every map, the border replicated."""
    pooled = []
    for features in maps:
        height, width = features.shape[-2:]
        row = math.floor(float(at[0]) / (canvas[0] // height))
        col = math.floor(float(at[1]) / (canvas[1] // width))
        cells = [
            features[:, min(max(row + i, 0), height - 1), min(max(col + j, 0), width - 1)]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        pooled.append(torch.stack(cells).mean(0))
    return torch.stack(pooled).mean(0)


@given(
    cells=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    where=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    positive=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_click_query_is_the_mean_around_it_on_all_scales(
    cells: tuple[int, int], where: tuple[float, float], positive: bool
) -> None:
    canvas = (16 * cells[0], 16 * cells[1])
    module = ClickQueries(8, 5).double()
    maps = tuple(
        normal(1, 8, canvas[0] // stride, canvas[1] // stride, seed=stride) for stride in (16, 8, 4)
    )
    at = torch.tensor([where[0] * canvas[0], where[1] * canvas[1]], dtype=DOUBLE)
    sign = torch.tensor([[positive]])
    sparse = module(Clicks(at[None, None], sign, torch.ones_like(sign)), maps, canvas)
    content = module.mlp(slow_click_content(tuple(m[0] for m in maps), at, canvas))
    assert float((sparse.content[0, 0] - content).detach().abs().max()) <= 1e-9
    place = fourier_points(at[None, None], module.frequencies, *canvas)[0, 0]
    expected = place + module.label[1 if positive else 0] + module.label[2]
    assert float((sparse.position[0, 0] - expected).detach().abs().max()) <= 1e-9
    assert sparse.sees_foreground.item() is positive


def test_the_frequencies_are_fixed_and_travel_with_the_checkpoint() -> None:
    torch.manual_seed(1)
    first = ClickQueries(16, 8)
    torch.manual_seed(2)
    second = ClickQueries(16, 8)
    assert torch.equal(first.frequencies, second.frequencies)
    assert "frequencies" in first.state_dict()


def slow_summary(
    module: ReferenceSummary, maps: list[Tensor], mask: Tensor, queries: int
) -> tuple[Tensor, Tensor]:
    """Pool one reference position by position [KPrism, Eq. 7]."""
    sums, totals = [], []
    for scale, features in enumerate(maps):
        height, width = features.shape[-2:]
        cell = (mask.shape[0] // height, mask.shape[1] // width)
        top, bottom = torch.zeros(queries, 8, dtype=DOUBLE), torch.zeros(queries, dtype=DOUBLE)
        for row in range(height):
            for col in range(width):
                token = module.inputs[scale](features[:, row, col])
                value = module.values[scale](token)
                share = module.weights[scale](token).sigmoid()
                block = mask[
                    row * cell[0] : (row + 1) * cell[0], col * cell[1] : (col + 1) * cell[1]
                ]
                inside = block.mean()
                for query in range(queries):
                    soft = inside if query < queries // 2 else 1 - inside
                    top[query] += share[query] * soft * value
                    bottom[query] += share[query] * soft
        sums.append(top / (height * width))
        totals.append(bottom / (height * width))
    return torch.stack(sums), torch.stack(totals)


def test_the_summary_is_its_slow_loop() -> None:
    torch.manual_seed(5)
    module = ReferenceSummary((5, 4, 3), 8, 6).double()
    maps = [normal(2, w, 32 // s, 48 // s, seed=s) for w, s in ((5, 16), (4, 8), (3, 4))]
    mask = normal(2, 32, 48, seed=7).sigmoid()
    with torch.no_grad():
        sums, totals = module((maps[0], maps[1], maps[2]), mask)
        for pair in range(2):
            one = slow_summary(module, [m[pair] for m in maps], mask[pair], 6)
            assert float((sums[pair] - one[0]).abs().max()) <= 1e-12
            assert float((totals[pair] - one[1]).abs().max()) <= 1e-12


def test_pooling_is_a_mean_and_an_empty_mask_gives_zeros() -> None:
    references = make_references(1, 2, 3)
    same = ReferenceFeatures(
        keys=references.keys,
        values=references.values,
        valid=references.valid,
        summary=torch.full((1, 3, 6, 8), 6.0, dtype=DOUBLE),
        weight=torch.full((1, 3, 6), 3.0, dtype=DOUBLE),
    )
    assert torch.allclose(pooled_summary(same), torch.full((), 2.0, dtype=DOUBLE), atol=1e-3)
    nothing = same.map(torch.zeros_like)
    assert pooled_summary(nothing).eq(0).all()


def test_class_queries_look_at_the_foreground_and_start_at_deviation_one() -> None:
    torch.manual_seed(0)
    table = ClassTable(50, 2, 64)
    sparse = table(torch.tensor([4, 0]))
    assert torch.equal(sparse.content, table.content[[4, 0]])
    assert torch.equal(sparse.position, table.position[[4, 0]])
    assert sparse.sees_foreground.all() and sparse.valid.all()
    # Smaller class queries did not learn at all.
    assert 0.95 < table.content.std().item() < 1.05


def test_half_of_the_context_queries_look_at_the_foreground() -> None:
    sparse = ContextQueries(6, 8)(torch.zeros(2, 6, 8))
    assert sparse.sees_foreground.tolist() == [[True] * 3 + [False] * 3] * 2
    assert sparse.valid.all()


def test_groups_of_queries_are_joined_in_order() -> None:
    context = ContextQueries(2, 8)(torch.zeros(1, 2, 8))
    classes = ClassTable(3, 2, 8)(torch.tensor([1]))
    joined = Sparse.join([context, classes])
    assert torch.equal(joined.content, torch.cat([context.content, classes.content], 1))
    assert joined.sees_foreground.tolist() == [[True, False, True, True]]
