"""The loss of one round: cross-entropy plus Dice over all outputs of deep supervision."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from medprism.core.errors import InternalError
from medprism.objectives.cross_entropy import cross_entropy
from medprism.objectives.dice_loss import dice_loss

Map = Float[Tensor, "requests _ _"]


def request_loss(
    decoded_logits: tuple[Float[Tensor, "requests _ _"], ...],
    target: Float[Tensor, "requests height width"],
    weights: tuple[float, ...],
) -> Float[Tensor, " requests"]:
    """Return the weighted sum over outputs of cross-entropy + Dice, one value a request.

    Every output lies on its own grid, which divides the canvas of the target; the target is
    averaged over the areas of each grid's cells, once per grid. The caller averages over requests.

    Raises:
        InternalError: no output, another number of weights, or a grid that does not divide.

    >>> import torch
    >>> target = torch.zeros(1, 4, 4); target[0, :2, 2:] = 1.0
    >>> coarse = torch.tensor([[[-20.0, 20.0], [-20.0, -20.0]]])
    >>> round(request_loss((coarse,), target, (1.0,)).item(), 4)
    0.0
    """
    if not decoded_logits or len(decoded_logits) != len(weights):
        raise InternalError(
            f"{len(decoded_logits)} outputs with {len(weights)} weights; "
            "give one weight to each of at least one output"
        )
    targets: dict[tuple[int, int], Map] = {}
    total = decoded_logits[0].new_zeros(len(target))
    for logits, weight in zip(decoded_logits, weights, strict=True):
        grid = (logits.shape[1], logits.shape[2])
        if grid not in targets:
            targets[grid] = average_to_grid(target, grid)
        reduced = targets[grid]
        total = total + weight * (cross_entropy(logits, reduced) + dice_loss(logits, reduced))
    return total


def average_to_grid(
    target: Float[Tensor, "requests height width"], grid: tuple[int, int]
) -> Float[Tensor, "requests grid_height grid_width"]:
    """Average a map over the cells of a grid that divides it.

    Raises:
        InternalError: the grid does not divide the map.
    """
    height, width = target.shape[1:]
    if (height, width) == grid:
        return target
    if not grid[0] or not grid[1] or height % grid[0] or width % grid[1]:
        raise InternalError(
            f"an output of {grid[0]} x {grid[1]} does not divide the target of {height} x {width}"
        )
    cell = (height // grid[0], width // grid[1])
    return functional.avg_pool2d(target[:, None], cell)[:, 0]
