"""Activation checkpointing: blocks keep what goes into them and compute the rest once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from medprism.models.blocks.inverted import InvertedBlock
from medprism.models.blocks.residual import ResidualBlock
from medprism.models.kprism.decoder import DecoderLayer, FineHead, MaskHead
from medprism.models.kprism.encoder import AttentionBlock
from medprism.models.tpseg.trunk import HieraBlock

# What holds most of the memory of a step; none of them draws anything at random.
BLOCKS: Final = (
    ResidualBlock,
    InvertedBlock,
    AttentionBlock,
    DecoderLayer,
    MaskHead,
    FineHead,
    HieraBlock,
)


def recompute_blocks(model: nn.Module) -> int:
    """Let the blocks of a model forget what they computed until gradients need it; return how many.

    Gradients stay the same bit for bit, as the same sums are taken again; a step takes about half
    as long again. Parameters, buffers and their names stay. Nothing changes where no gradients are
    kept.
    """
    blocks = [one for one in model.modules() if isinstance(one, BLOCKS)]
    for block in blocks:
        # A model that is trained on again has them already.
        if "forward" not in vars(block):
            block.forward = partial(_forgetful, block, block.forward)  # type: ignore[method-assign]
    return len(blocks)


def _forgetful(
    block: nn.Module,
    forward: Callable[..., Any],
    *inputs: Any,  # noqa: ANN401 - those of any block
) -> Any:  # noqa: ANN401
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=partial(_contexts, block),
    )


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _same_statistics(block)


@contextmanager
def _same_statistics(block: nn.Module) -> Iterator[None]:
    """Put running statistics back afterwards: the first pass has counted the batch already."""
    before = [(buffer, buffer.clone()) for buffer in block.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
