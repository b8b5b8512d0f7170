"""A trunk that somebody else has trained: the one of SAM 2, from a safetensors file [Hiera].

Its tensors are renamed and otherwise left as they are; with `pixels` "imagenet" our trunk computes
from them what theirs does. Two ways of naming are known: that of SAM 2's own files and that of the
same weights for the package transformers. What else a file holds is never read.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from medprism.core.errors import CheckpointError
from medprism.models.checkpoint import HALF_LIMIT, hash_tensors
from medprism.models.tpseg.config import HieraConfig
from medprism.models.tpseg.trunk import HieraTrunk

# What the name of one tensor of a trunk ends in; what stands before it begins all of its names.
LANDMARK: Final = "pos_embed_window"

# A word of our names of tensors -> theirs.
Naming = Mapping[str, str]

SAM2_NAMES: Final[Naming] = {
    "place": "pos_embed",
    "place_in_window": LANDMARK,
    "patches": "patch_embed.proj",
    "project": "attn.qkv",
    "combine": "attn.proj",
    "widen": "proj",
    "inner": "mlp.layers.0",
    "outer": "mlp.layers.1",
}
TRANSFORMERS_NAMES: Final[Naming] = {
    **SAM2_NAMES,
    "patches": "patch_embed.projection",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "inner": "mlp.proj_in",
    "outer": "mlp.proj_out",
}

# The four sizes of SAM 2 and of SAM 2.1, by the names of their files.
OFFICIAL_TRUNKS: Final[dict[str, HieraConfig]] = {
    "sam2_hiera_tiny": HieraConfig(
        embed=96,
        heads=1,
        blocks=(1, 2, 7, 2),
        windows=(8, 4, 14, 7),
        global_blocks=(5, 7, 9),
        pixels="imagenet",
    ),
    "sam2_hiera_small": HieraConfig(
        embed=96,
        heads=1,
        blocks=(1, 2, 11, 2),
        windows=(8, 4, 14, 7),
        global_blocks=(7, 10, 13),
        pixels="imagenet",
    ),
    "sam2_hiera_base_plus": HieraConfig(
        embed=112,
        heads=2,
        blocks=(2, 3, 16, 3),
        windows=(8, 4, 14, 7),
        global_blocks=(12, 16, 20),
        place_grid=14,
        pixels="imagenet",
    ),
    "sam2_hiera_large": HieraConfig(
        embed=144,
        heads=2,
        blocks=(2, 6, 36, 4),
        windows=(8, 4, 16, 8),
        global_blocks=(23, 33, 43),
        pixels="imagenet",
    ),
}

# How pickles begin: those of torch today, which are zip archives, and bare ones.
PICKLE_STARTS: Final = (b"PK\x03\x04", b"\x80")
# Run by the user and not by us: torch reads tensors alone from the pickle and nothing that runs.
CONVERSION: Final = (
    "import sys, torch; from safetensors.torch import save_file; "
    "found = torch.load(sys.argv[1], weights_only=True)['model']; "
    "save_file({name: tensor.contiguous().clone() for name, tensor in found.items() "
    "if name.startswith('image_encoder.trunk.')}, sys.argv[2])"
)


@dataclass(frozen=True, eq=False)
class ExternalTrunk:
    """A trunk from a file: its settings, and its tensors as float32 by our names.

    `shape` names what its tensors have the shape of; `weights_hash` names the tensors, whatever
    else their file holds and however it calls them.
    """

    shape: str
    config: HieraConfig
    tensors: dict[str, Tensor]
    weights_hash: str


def read_trunk(path: Path, known: Mapping[str, HieraConfig] = OFFICIAL_TRUNKS) -> ExternalTrunk:
    """Read a trunk; the shapes of its tensors say which of the `known` settings are its own.

    It takes pixels on the scale of ImageNet, as those that were trained with SAM 2's code do.

    Raises:
        CheckpointError: no such file, or one that is not wholly a trunk of these shapes.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no trunk at {path}; give SAM 2's weights as a .safetensors file, such as "
            "sam2_hiera_large.safetensors"
        )
    with _opened(path) as stored:
        found = list(stored.keys())
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in found}
        prefix = _prefix_of_trunk(path, shapes)
        inside = {
            name.removeprefix(prefix): shape
            for name, shape in shapes.items()
            if name.startswith(prefix)
        }
        shape, config, names = _recognise(path, inside, known)
        tensors = {
            own: _usable(path, name, stored.get_tensor(prefix + name))
            for own, name in names.items()
        }
    return ExternalTrunk(shape, config, tensors, hash_tensors(tensors))


def stored_name(own: str, naming: Naming) -> str:
    """Return what others call a tensor of our trunk.

    >>> stored_name("blocks.3.inner.weight", SAM2_NAMES)
    'blocks.3.mlp.layers.0.weight'
    >>> stored_name("blocks.3.norm1.bias", TRANSFORMERS_NAMES)
    'blocks.3.layer_norm1.bias'
    """
    return ".".join(naming.get(word, word) for word in own.split("."))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; what it is not, or not wholly, is said in one sentence.

    Raises:
        CheckpointError: not a whole safetensors file.
    """
    try:
        with safe_open(str(path), framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        if _is_pickle(path):
            target = shlex.quote(str(path.with_name(f"{path.stem}_trunk.safetensors")))
            raise CheckpointError(
                f"{path} is a pickle, which can run programs and is never opened here; turn it "
                f'into safetensors once: python -c "{CONVERSION}" {shlex.quote(str(path))} {target}'
            ) from error
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); fetch it again"
        ) from error


def _is_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(PICKLE_STARTS)
    except OSError:
        return False


def _prefix_of_trunk(path: Path, names: Iterable[str]) -> str:
    found = [name for name in names if name.split(".")[-1] == LANDMARK]
    if len(found) != 1:
        raise CheckpointError(
            f"{path} holds {len(found)} trunks of Hiera (tensors called {LANDMARK!r}) where one is "
            "wanted; give SAM 2's weights, such as sam2_hiera_large.safetensors (checkpoints of "
            "medprism go to --init)"
        )
    return found[0].removesuffix(LANDMARK)


def _recognise(
    path: Path, shapes: Mapping[str, tuple[int, ...]], known: Mapping[str, HieraConfig]
) -> tuple[str, HieraConfig, dict[str, str]]:
    """Return which of the known trunks has these tensors, its settings, and our names -> theirs.

    Raises:
        CheckpointError: none has; the message names the nearest, and the first that differs.
    """
    is_sam2 = any(name.startswith("patch_embed.proj.") for name in shapes)
    naming = SAM2_NAMES if is_sam2 else TRANSFORMERS_NAMES
    misfits: dict[str, list[str]] = {}
    for name, config in known.items():
        own = _shapes_of(config)
        expected = {stored_name(one, naming): shape for one, shape in own.items()}
        misfits[name] = sorted({one for one, _ in expected.items() ^ shapes.items()})
        if not misfits[name]:
            settings = replace(config, pixels="imagenet")
            return name, settings, {one: stored_name(one, naming) for one in own}
    nearest = min(misfits, key=lambda name: len(misfits[name]))
    wrong = misfits[nearest]
    raise CheckpointError(
        f"{path} holds a trunk of none of the shapes {', '.join(known)}: from {nearest}, the "
        f"nearest, {len(wrong)} tensors differ, first {wrong[0]}; give one of these"
    )


def _shapes_of(config: HieraConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        trunk = HieraTrunk(config)
    return {name: tuple(tensor.shape) for name, tensor in trunk.state_dict().items()}


def _usable(path: Path, name: str, tensor: Tensor) -> Tensor:
    """Return a tensor as float32.

    Raises:
        CheckpointError: it holds no floats, or one that a 16-bit float cannot hold.
    """
    if not tensor.is_floating_point():
        raise CheckpointError(
            f"{path} is no trained trunk: {name} holds {tensor.dtype}, not floats; fetch it again"
        )
    numbers = tensor.float()
    largest = float(numbers.abs().max())
    if not largest <= HALF_LIMIT:
        raise CheckpointError(
            f"{path} is no trained trunk: {name} reaches {largest:g}, beyond 16-bit floats "
            f"({HALF_LIMIT:g}); fetch it again"
        )
    return numbers
