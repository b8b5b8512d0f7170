from __future__ import annotations

import numpy as np
import pytest
import torch

from medprism.core.errors import ConfigError, InternalError
from medprism.models.iris.embedding import TaskEmbeddings, ensemble
from medprism.models.iris.retrieval import (
    choose_by_object,
    describe_tasks,
    embed_query,
    first_reference,
    retrieve_images,
    retrieve_objects,
    share_of_pool,
    task_similarity,
)

from .episodes import draw_episode, make_iris, small
from .test_embedding import draw, hide


def nearby(pool: TaskEmbeddings, rows: tuple[int, ...], noise: float = 0.01) -> TaskEmbeddings:
    """Return a query that resembles one reference a class."""
    picked = torch.stack([pool.tokens[row, index] for index, row in enumerate(rows)])[None]
    torch.manual_seed(3)
    return TaskEmbeddings(
        3 * picked + noise * torch.randn_like(picked), torch.ones(1, len(rows), dtype=torch.bool)
    )


def test_similarity_is_the_cosine_of_tokens_of_unit_length() -> None:
    pool, query = draw(4, 2), draw(1, 2, seed=8)
    found = task_similarity(query, pool).numpy()
    for row in range(4):
        for index in range(2):
            one = pool.tokens[row, index].numpy()
            other = query.tokens[0, index].numpy()
            cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1)
            expected = np.mean(cosines / np.linalg.norm(other, axis=1))
            assert abs(found[row, index] - expected) < 1e-5
    assert not describe_tasks(hide(pool, (2, 1)))[2, 1].any()


def test_each_class_finds_its_own_references() -> None:
    pool = draw(6, 3)
    query = nearby(pool, (4, 0, 2))
    best = retrieve_objects(query, pool, keep=1)
    for index, row in enumerate((4, 0, 2)):
        assert torch.equal(best.tokens[0, index], pool.tokens[row, index])
    two = retrieve_objects(query, pool, keep=2)
    order = task_similarity(query, pool)[:, 1].argsort(descending=True)[:2]
    torch.testing.assert_close(two.tokens[0, 1], pool.tokens[order, 1].mean(0))
    everything = retrieve_objects(query, pool, keep=6)
    torch.testing.assert_close(everything.tokens, ensemble(pool).tokens)


def test_a_class_that_was_not_found_falls_back_to_the_ensemble() -> None:
    pool = draw(5, 2)
    query = hide(nearby(pool, (1, 3)), (0, 1))
    best = retrieve_objects(query, pool, keep=1)
    assert torch.equal(best.tokens[0, 0], pool.tokens[1, 0])
    torch.testing.assert_close(best.tokens[0, 1], ensemble(pool).tokens[0, 1])


def test_references_that_do_not_show_a_class_are_never_chosen() -> None:
    pool = hide(draw(4, 2), (1, 0), (2, 0))
    query = TaskEmbeddings(-draw(4, 2).tokens[:1], torch.ones(1, 2, dtype=torch.bool))
    chosen = retrieve_objects(query, pool, keep=3)
    torch.testing.assert_close(chosen.tokens[0, 0], pool.tokens[[0, 3], 0].mean(0))
    nobody = hide(draw(3, 1), (0, 0), (1, 0), (2, 0))
    assert not retrieve_objects(draw(1, 1), nobody, keep=2).present.any()


def test_equal_references_are_taken_in_the_order_of_the_pool() -> None:
    one = draw(1, 1)
    tokens = torch.cat([one.tokens, 2 * one.tokens, 3 * one.tokens])
    pool = TaskEmbeddings(tokens, torch.ones(3, 1, dtype=torch.bool))
    for scale in (1.0, 4.0):
        query = TaskEmbeddings(scale * one.tokens, one.present)
        assert torch.equal(describe_tasks(pool)[0], describe_tasks(pool)[1])
        assert torch.equal(retrieve_objects(query, pool, keep=1).tokens, tokens[:1])


def test_images_are_chosen_as_a_whole() -> None:
    pool = hide(draw(4, 2), (2, 1), (0, 1))
    described = torch.eye(4)
    query = torch.tensor([[0.6, 0.1, 0.9, 0.2]])
    found = retrieve_images(query, described, pool, keep=2)
    torch.testing.assert_close(found.tokens[0, 0], pool.tokens[[0, 2], 0].mean(0))
    # Neither of the two shows the second class.
    torch.testing.assert_close(found.tokens[0, 1], ensemble(pool).tokens[0, 1])


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_query_is_embedded_by_what_the_model_finds(ndim: int) -> None:
    model = make_iris(small(ndim))
    # A head that says yes to some voxels: random weights alone say no everywhere.
    with torch.no_grad():
        model.decoder.head.bias.zero_()
    episode = draw_episode(ndim, rows=3, classes=2)
    with torch.no_grad():
        pool = model.encode_references(episode.reference, episode.masks)
        features = model.encode(episode.image[:1])
        start = pool.select(torch.tensor([1]))
        query = embed_query(model, features, start)
        masks = (model.decode(features, start) > 0).float()
        assert torch.equal(query.tokens, model.encode_tasks(features, masks).tokens)
        chosen = choose_by_object(model, features, pool, start, keep=1)
        assert torch.equal(chosen.tokens, retrieve_objects(query, pool, 1).tokens)
    assert query.present.any()
    for index in range(2):
        rows = [torch.equal(chosen.tokens[0, index], pool.tokens[row, index]) for row in range(3)]
        assert sum(rows) == 1 or not query.present[0, index]


def test_a_random_reference_is_the_first_that_shows_the_class() -> None:
    pool = hide(draw(4, 2), (3, 0), (3, 1), (1, 1))
    found = first_reference(pool, torch.tensor([3, 1, 0, 2]))
    assert torch.equal(found.tokens[0, 0], pool.tokens[1, 0])
    assert torch.equal(found.tokens[0, 1], pool.tokens[0, 1])
    with pytest.raises(InternalError, match="2 rows for a pool of 4"):
        first_reference(pool, torch.tensor([0, 1]))


def test_shares_and_numbers_are_checked() -> None:
    assert [share_of_pool(67, share) for share in (0.001, 0.2, 1.0)] == [1, 13, 67]
    with pytest.raises(ConfigError, match="a share of the pool"):
        share_of_pool(67, 0.0)
    for call in (
        lambda: retrieve_objects(draw(1, 2), draw(3, 2), keep=0),
        lambda: retrieve_images(torch.ones(1, 3), torch.eye(3), draw(3, 2), keep=0),
    ):
        with pytest.raises(ConfigError, match="at least one reference"):
            call()
