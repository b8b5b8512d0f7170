"""Do tasks pull shared weights in opposite directions? Cosines between their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from medprism.core.concepts import Concept, ConceptTable
from medprism.data.episode import EpisodeConfig, EpisodeSampler
from medprism.data.store import SliceStore
from medprism.data.vocabulary import LabelIds
from medprism.models.tpseg.model import TPSeg, task_rows
from medprism.objectives.structure import structure_loss
from medprism.training.batches import to_batch
from medprism.training.task_step import border_window

HALVES: Final = 2
# Parts of a model that all tasks share, by how the names of their weights begin.
PARTS: Final[Mapping[str, Callable[[str], bool]]] = {
    "trunk": lambda name: name.startswith("trunk."),
    "shared adapters": lambda name: name.startswith("adapters.") and ".shared." in name,
    "reductions": lambda name: name.startswith("reductions."),
    "decoders": lambda name: name.startswith("steps."),
}


@dataclass(frozen=True)
class Batches:
    """How a task's gradient is made: images a half, their side, and the seed of their draw."""

    images: int = 16
    size: int = 128
    seed: int = 11


def interference(
    model: TPSeg,
    store: SliceStore,
    concepts: ConceptTable,
    partial: Mapping[str, LabelIds],
    batches: Batches,
) -> dict[str, Any]:
    """Return the cosines of every shared part: of two tasks, and of one task with itself.

    Each task has two halves of images; "across" are the cosines of the sums of both halves of two
    tasks, "within" those of a task's two halves, which is as alike as gradients of so few images
    can be. "against" is the share of pairs of tasks below zero.
    """
    sampled = []
    for row in range(len(concepts)):
        alone, own = _only(concepts, partial, row)
        sampler = EpisodeSampler(store, alone, "train", EPISODES, partial=own)
        sampled.append([_gradient(model, sampler, half, batches) for half in range(HALVES)])
    found: dict[str, Any] = {}
    for part, belongs in PARTS.items():
        names = [name for name in sampled[0][0] if belongs(name)]
        if names:
            found[part] = _cosines([[_flat(half, names) for half in task] for task in sampled])
    return found


# As TP-Seg is trained (`training.course`), without absent lesions.
EPISODES: Final = EpisodeConfig(
    requests_per_image=1, dataset_first=0.0, class_exponent=0.0, absent=0.0
)


def _only(
    concepts: ConceptTable, partial: Mapping[str, LabelIds], row: int
) -> tuple[ConceptTable, dict[str, LabelIds]]:
    """Return the class table with the label ids of one task only."""
    table = ConceptTable(
        tuple(
            concept if number == row else Concept(concept.name, concept.synonyms, {})
            for number, concept in enumerate(concepts.concepts)
        )
    )
    name = concepts[row].name
    return table, {key: ids for key, ids in partial.items() if key == name}


def _gradient(
    model: TPSeg, sampler: EpisodeSampler, half: int, batches: Batches
) -> dict[str, Tensor]:
    """Return the gradient of a task's loss in every weight that tasks share."""
    episode = sampler.draw(
        batches.seed, half, False, num_requests=batches.images, size=batches.size
    )
    batch = to_batch(episode)
    model.requires_grad_(True)
    model.zero_grad(set_to_none=True)
    answer = model(batch.images.index_select(0, batch.image_index), batch.concept)
    outputs = (answer.logits, *answer.steps)
    loss = structure_loss(outputs, batch.target, border_window(batches.size)).mean()
    torch.autograd.backward(loss)
    rows = task_rows(model)
    gradients = {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        for name, weight in model.named_parameters()
        if name not in rows
    }
    model.zero_grad(set_to_none=True)
    return gradients


def _flat(gradients: Mapping[str, Tensor], names: list[str]) -> Float64[np.ndarray, " weights"]:
    joined = torch.cat([gradients[name].reshape(-1) for name in names])
    return joined.double().numpy()


def _cosines(tasks: list[list[Float64[np.ndarray, " weights"]]]) -> dict[str, float | int]:
    sums = [one + other for one, other in tasks]
    across = [cosine(one, other) for one, other in combinations(sums, 2)]
    within = [cosine(one, other) for one, other in tasks]
    return {
        "across": float(np.mean(across)),
        "lowest": float(np.min(across)),
        "against": float(np.mean([value < 0 for value in across])),
        "within": float(np.mean(within)),
        "pairs": len(across),
    }


def cosine(one: Float64[np.ndarray, " n"], other: Float64[np.ndarray, " n"]) -> float:
    """Return the cosine of two vectors; 0 where one of them has no length.

    >>> round(cosine(np.array([1.0, 0.0]), np.array([-1.0, 1.0])), 4)
    -0.7071
    """
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else 0.0


def is_measurable(model: nn.Module) -> bool:
    """Whether a model has the parts that are looked at."""
    return isinstance(model, TPSeg)
