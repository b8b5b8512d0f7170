"""In-context tuning: the task embedding learns from labelled images, the weights do not change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from medprism.core.errors import ConfigError, ReferencePairError
from medprism.core.randomness import counter_rng
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.iris.model import Iris
from medprism.models.segmenter import Features
from medprism.objectives.cross_entropy import cross_entropy
from medprism.objectives.dice_loss import dice_loss


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """Adam on the embedding alone: its steps, rate, images a step, and the seed of their order.

    The paper states none of these.
    """

    steps: int = 60
    learning_rate: float = 5e-3
    images: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.images < 1 or not self.learning_rate > 0:
            raise ConfigError(
                f"tuning needs at least one step and image and a rate above 0, got {self.steps}, "
                f"{self.images} and {self.learning_rate}"
            )


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned embedding and the loss of every step, before the step."""

    tasks: TaskEmbeddings
    losses: tuple[float, ...]


def class_losses(
    logits: Float[Tensor, "images classes ..."], masks: Float[Tensor, "images classes ..."]
) -> Float[Tensor, "images classes"]:
    """Return cross-entropy + Dice of every class of every image, in 2-D and 3-D alike.

    >>> masks = torch.tensor([[[[[1.0, 0.0]]]]])
    >>> round(float(class_losses(40 * masks - 20, masks)), 4)
    0.0
    """
    flat = rearrange(logits, "i k ... -> (i k) 1 (...)")
    target = rearrange(masks, "i k ... -> (i k) 1 (...)")
    lost = cross_entropy(flat, target) + dice_loss(flat, target)
    return rearrange(lost, "(i k) -> i k", k=logits.shape[1])


def tune(
    model: Iris,
    features: Features,
    masks: Float[Tensor, "images classes ..."],
    start: TaskEmbeddings,
    *,
    settings: TuningSettings | None = None,
    labelled: Bool[Tensor, "images classes"] | None = None,
) -> Tuned:
    """Fit one row of embeddings to labelled, encoded images [Iris, Sec. 3].

    Images are encoded once, since only what follows depends on the embedding. `labelled` is False
    where an image says nothing about a class; an empty mask that is labelled means "not there".

    Raises:
        ReferencePairError: not one row to start from, another number of masks than of images or
            classes, nothing labelled, or a class that the masks show and `start` does not know.
    """
    settings = settings or TuningSettings()
    _check(features, masks, start)
    if labelled is None:
        labelled = torch.ones(masks.shape[:2], dtype=torch.bool, device=masks.device)
    known = labelled & start.present
    if not bool(known.any()):
        raise ReferencePairError("nothing is labelled for any of the classes; give labelled images")
    # A caller may have encoded in inference mode, whose tensors cannot be learned through.
    with torch.inference_mode(False), torch.enable_grad():
        ready = features.map(lambda tensor: tensor.detach().clone())
        targets, counted = masks.clone(), known.to(ready.maps[0].dtype)
        tokens = start.tokens.detach().clone().requires_grad_()
        current = replace(start, tokens=tokens, present=start.present.clone())
        optimizer = torch.optim.Adam([tokens], lr=settings.learning_rate)
        losses = []
        for step in range(settings.steps):
            chosen = _draw(len(targets), settings, step).to(targets.device)
            logits = model.decode(ready.select(chosen), current.repeat(len(chosen)))
            share = counted[chosen]
            loss = (class_losses(logits, targets[chosen]) * share).sum() / share.sum().clamp(min=1)
            # Not backward(): the gradients of the weights stay as they were.
            (tokens.grad,) = torch.autograd.grad(loss, [tokens])
            optimizer.step()
            losses.append(loss.item())
    return Tuned(replace(current, tokens=tokens.detach()), tuple(losses))


def _draw(images: int, settings: TuningSettings, step: int) -> Tensor:
    if images <= settings.images:
        return torch.arange(images)
    order = counter_rng(settings.seed, step, "tuning").permutation(images)
    return torch.from_numpy(order[: settings.images].copy())


def _check(
    features: Features, masks: Float[Tensor, "images classes ..."], start: TaskEmbeddings
) -> None:
    wanted = (len(features.maps[0]), start.num_classes)
    if start.num_rows != 1 or tuple(masks.shape[:2]) != wanted:
        raise ReferencePairError(
            f"tuning takes one row of embeddings and masks of {wanted} (images, classes), got "
            f"{start.num_rows} rows and masks of {tuple(masks.shape[:2])}"
        )
    unknown = (masks.flatten(2).amax(-1) > 0).any(0) & ~start.present[0]
    if bool(unknown.any()):
        raise ReferencePairError(
            f"classes {unknown.nonzero().flatten().tolist()} are shown but have no embedding to "
            "start from; begin with a reference that shows them"
        )
