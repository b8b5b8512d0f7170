"""Batch normalisation over the batch of all processes, on any device.

torch's `SyncBatchNorm` wants a GPU. This one adds sums up in two messages, the mean first and then
the squares around it, so that it rounds as the normalisation of the whole batch does.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.training.collective import differentiable_sum


class SharedBatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` with the statistics of all processes; parameters and buffers stay.

    All processes have to call it alike, forward and backward.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> SharedBatchNorm:
        """Return one that shares the parameters and buffers of another normalisation.

        Raises:
            ConfigError: it keeps no running statistics, or their plain mean.
        """
        if norm.momentum is None or not norm.track_running_stats:
            raise ConfigError(
                "batch normalisation without a momentum of its statistics cannot be shared by "
                "processes; give it one, or train with one process"
            )
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine)
        shared.train(norm.training)
        for name in ("weight", "bias"):
            setattr(shared, name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(shared, name, getattr(norm, name))
        return shared

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise by the batch of all processes; when not training, by what was learned."""
        if not self.training:
            return super().forward(input)
        values = input if input.dtype == torch.float64 else input.float()
        size = values.new_tensor([values.numel() / values.shape[1]])
        sums = differentiable_sum(torch.cat([values.sum((0, 2, 3)), size]))
        count = sums[-1].detach()
        centred = values - (sums[:-1] / count)[:, None, None]
        variance = differentiable_sum(centred.square().sum((0, 2, 3))) / count
        self._remember(sums[:-1].detach() / count, variance.detach() * count / (count - 1))
        normed = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        return normed.to(input.dtype)

    @torch.no_grad()
    def _remember(
        self, mean: Float[Tensor, " channels"], variance: Float[Tensor, " channels"]
    ) -> None:
        for name, found in (("running_mean", mean), ("running_var", variance)):
            kept = self.get_buffer(name)
            kept.lerp_(found.to(kept.dtype), float(self.momentum or 0.0))
        self.get_buffer("num_batches_tracked").add_(1)


def share_norms(model: nn.Module) -> None:
    """Let every batch normalisation of a model look at the batch of all processes; names stay.

    Raises:
        ConfigError: see `SharedBatchNorm.of`.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SharedBatchNorm):
                module.add_module(name, SharedBatchNorm.of(child))


def has_batch_norm(model: nn.Module) -> bool:
    """Say whether a model normalises by the statistics of a batch.

    >>> has_batch_norm(nn.Sequential(nn.GroupNorm(1, 4))), has_batch_norm(nn.BatchNorm2d(4))
    (False, True)
    """
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
