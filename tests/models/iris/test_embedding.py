from __future__ import annotations

import pytest
import torch

from medprism.core.errors import InternalError
from medprism.models.iris.embedding import (
    TaskEmbeddings,
    ensemble,
    stack_classes,
    stack_rows,
    weighted_mean,
)


def draw(rows: int, classes: int, seed: int = 1) -> TaskEmbeddings:
    rng = torch.Generator().manual_seed(seed)
    tokens = torch.randn(rows, classes, 3, 5, generator=rng)
    return TaskEmbeddings(tokens, torch.ones(rows, classes, dtype=torch.bool))


def hide(tasks: TaskEmbeddings, *absent: tuple[int, int]) -> TaskEmbeddings:
    present = tasks.present.clone()
    for row, index in absent:
        present[row, index] = False
    return TaskEmbeddings(tasks.tokens * present[..., None, None], present)


def test_the_ensemble_is_the_mean_over_the_references_that_show_a_class() -> None:
    pool = hide(draw(4, 3), (1, 0), *((row, 2) for row in range(4)))
    mean = ensemble(pool)
    torch.testing.assert_close(mean.tokens[0, 0], pool.tokens[[0, 2, 3], 0].mean(0))
    torch.testing.assert_close(mean.tokens[0, 1], pool.tokens[:, 1].mean(0))
    assert mean.present.tolist() == [[True, True, False]]
    assert not mean.tokens[0, 2].any()


def test_the_ensemble_does_not_depend_on_the_order() -> None:
    pool = hide(draw(5, 2), (3, 1))
    turned = pool.select(torch.tensor([4, 1, 3, 0, 2]))
    torch.testing.assert_close(ensemble(turned).tokens, ensemble(pool).tokens)
    assert torch.equal(ensemble(draw(1, 2)).tokens, draw(1, 2).tokens)


def test_weights_shift_the_mean() -> None:
    pool = draw(2, 1)
    mean = weighted_mean(pool, torch.tensor([[3.0], [1.0]]))
    torch.testing.assert_close(mean.tokens[0], 0.75 * pool.tokens[0] + 0.25 * pool.tokens[1])


def test_stacks_grow_by_classes_and_by_rows() -> None:
    one, other = draw(2, 2), draw(2, 1, seed=2)
    wide = stack_classes([one, other])
    assert (wide.num_rows, wide.num_classes) == (2, 3)
    assert torch.equal(wide.select_classes(torch.tensor([2])).tokens, other.tokens)
    tall = stack_rows([one, other])
    assert (tall.num_rows, tall.num_classes) == (4, 2)
    assert tall.present.tolist() == [[True, True]] * 2 + [[True, False]] * 2
    assert not tall.tokens[2:, 1].any()


def test_one_row_serves_many_images_without_a_copy() -> None:
    tasks = draw(1, 2)
    many = tasks.repeat(7)
    assert many.num_rows == 7
    assert many.tokens.data_ptr() == tasks.tokens.data_ptr()
    with pytest.raises(InternalError, match="one row can be repeated, not 2"):
        draw(2, 2).repeat(3)


def test_a_stack_is_never_cut() -> None:
    with pytest.raises(InternalError, match="3 classes is not cut to 2"):
        draw(1, 3).pad_classes(2)


def test_embeddings_move_and_weigh_like_every_value() -> None:
    tasks = draw(2, 3)
    assert torch.equal(tasks.map(torch.Tensor.clone).tokens, tasks.tokens)
    assert tasks.num_bytes == 2 * 3 * (3 * 5 * 4 + 1)
