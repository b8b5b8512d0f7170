"""Lamb: Adam whose step of every tensor has a length in proportion to the tensor [Lamb]."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from medprism.core.errors import ConfigError


class Lamb(Optimizer):
    """Layer-wise adaptive moments [Lamb, Alg. 2], with corrected moments.

    The step of a tensor w is lr * (|w| / |u|) * u with u = m / (sqrt(v) + eps) + decay * w; the
    ratio is 1 where either length is 0. It is at most `largest_ratio`.

    Raises:
        ConfigError: a rate, decay or moment outside its range.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        largest_ratio: float = 10.0,
    ) -> None:
        if not (lr > 0 and eps > 0 and weight_decay >= 0 and largest_ratio > 0):
            raise ConfigError(
                f"Lamb needs rates above 0 and a decay of at least 0, got {lr}, {eps}, "
                f"{weight_decay} and {largest_ratio}"
            )
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"betas of Lamb must lie in 0..1, below 1, got {betas}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "largest_ratio": largest_ratio,
        }
        super().__init__(parameters, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step along the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        first, second = group["betas"]
        state["step"] += 1
        count = float(state["step"])
        mean = state["exp_avg"].lerp_(parameter.grad, 1 - first)
        square = state["exp_avg_sq"].mul_(second)
        square.addcmul_(parameter.grad, parameter.grad, value=1 - second)
        spread = (square / (1 - second**count)).sqrt_().add_(group["eps"])
        update = (mean / (1 - first**count)).div_(spread)
        if group["weight_decay"]:
            update = update.add_(parameter, alpha=group["weight_decay"])
        length, moved = parameter.norm(), update.norm()
        usable = (length > 0) & (moved > 0)
        ratio = torch.where(usable, length / moved.clamp(min=1e-30), torch.ones_like(length))
        parameter.sub_(update * (group["lr"] * ratio.clamp(max=group["largest_ratio"])))
