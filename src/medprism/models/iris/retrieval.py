"""Choosing references: by image, or class by class through the query's own embedding.

All functions act on embeddings, which are encoded once and kept; only the first guess and the
query's own embedding cost passes of the network [Iris, Sec. 3].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from medprism.core.errors import ConfigError, InternalError
from medprism.models.iris.embedding import TaskEmbeddings, weighted_mean
from medprism.models.iris.model import Iris
from medprism.models.segmenter import Features


def share_of_pool(references: int, share: float) -> int:
    """Return how many references a share of the pool is: at least one.

    Raises:
        ConfigError: a share that is not above 0 and at most 1.

    >>> share_of_pool(67, 0.05), share_of_pool(67, 0.01), share_of_pool(3, 1.0)
    (3, 1, 3)
    """
    if not 0 < share <= 1:
        raise ConfigError(f"a share of the pool lies above 0 and at most at 1, got {share}")
    return max(1, round(references * share))


def describe_tasks(tasks: TaskEmbeddings) -> Float[Tensor, "rows classes features"]:
    """Return one unit vector a class: all tokens at unit length, side by side.

    The paper does not say whether the whole embedding or the foreground token is compared; with
    equal length no token outweighs another. Absent classes are zeros.
    """
    tokens = F.normalize(tasks.tokens.to(torch.float32), dim=-1).flatten(2)
    return F.normalize(tokens, dim=-1) * tasks.present[..., None].to(tokens.dtype)


def task_similarity(query: TaskEmbeddings, pool: TaskEmbeddings) -> Float[Tensor, "rows classes"]:
    """Return the cosine of every reference's embedding with the query's, class by class, -1..1.

    Where one of them does not show the class it is 0.
    """
    similarity: Tensor = (describe_tasks(pool) * describe_tasks(query)).sum(-1)
    return similarity


def retrieve_objects(query: TaskEmbeddings, pool: TaskEmbeddings, keep: int) -> TaskEmbeddings:
    """Average, class by class, the `keep` references that resemble the query's own embedding.

    A class that the query's first mask does not show is averaged over the whole pool.
    """
    _check_keep(keep)
    similarity = task_similarity(query, pool)
    # References that do not show a class come last, whatever their cosine.
    chosen = _best(similarity.masked_fill(~pool.present, -2.0), keep)
    weight = torch.where(query.present, chosen, torch.ones_like(chosen))
    return weighted_mean(pool, weight.to(pool.tokens.dtype))


def retrieve_images(
    query: Float[Tensor, "1 dim"],
    described: Float[Tensor, "rows dim"],
    pool: TaskEmbeddings,
    keep: int,
) -> TaskEmbeddings:
    """Average the `keep` references whose images resemble the query image.

    Vectors are those of `Iris.describe_image`. A class that none of the chosen images shows is
    averaged over the whole pool.
    """
    _check_keep(keep)
    cosine = F.normalize(described, dim=-1) @ F.normalize(query, dim=-1)[0]
    chosen = _best(cosine[:, None], keep).expand(-1, pool.num_classes)
    shown = (chosen.bool() & pool.present).any(0, keepdim=True)
    weight = torch.where(shown, chosen, torch.ones_like(chosen))
    return weighted_mean(pool, weight.to(pool.tokens.dtype))


def embed_query(model: Iris, features: Features, start: TaskEmbeddings) -> TaskEmbeddings:
    """Encode what the model itself first finds on an image, as if it were a reference.

    `start` is any embedding to begin with, such as that of a random reference.
    """
    masks = (model.decode(features, start) > 0).to(features.maps[0].dtype)
    return model.encode_tasks(features, masks)


def choose_by_object(
    model: Iris, features: Features, pool: TaskEmbeddings, start: TaskEmbeddings, keep: int
) -> TaskEmbeddings:
    """Return the embeddings with which to segment one image again: object-level retrieval.

    Segment with `start`, embed what was found, compare with the pool class by class, average the
    best [Iris, Sec. 3].
    """
    return retrieve_objects(embed_query(model, features, start), pool, keep)


def first_reference(pool: TaskEmbeddings, order: Int64[Tensor, " rows"]) -> TaskEmbeddings:
    """Return, class by class, the first reference in `order` that shows it: a random one-shot.

    Raises:
        InternalError: `order` names another number of rows.
    """
    if len(order) != pool.num_rows:
        raise InternalError(f"an order of {len(order)} rows for a pool of {pool.num_rows}")
    turned = pool.select(order)
    first = turned.present & (turned.present.cumsum(0) == 1)
    return weighted_mean(turned, first.to(pool.tokens.dtype))


def _best(score: Float[Tensor, "rows classes"], keep: int) -> Float[Tensor, "rows classes"]:
    # A stable sort: equal scores keep the order of the pool on every machine.
    order = score.argsort(dim=0, descending=True, stable=True)
    rank = order.argsort(dim=0)
    return (rank < keep).to(score.dtype)


def _check_keep(keep: int) -> None:
    if keep < 1:
        raise ConfigError(f"at least one reference must be kept, got {keep}")
