from __future__ import annotations

import json
import math
import pickle
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from medprism.core.errors import CheckpointError
from medprism.core.preprocess import standardise
from medprism.models.tpseg.config import HieraConfig, tpseg_base, tpseg_nano
from medprism.models.tpseg.external import (
    OFFICIAL_TRUNKS,
    SAM2_NAMES,
    TRANSFORMERS_NAMES,
    ExternalTrunk,
    read_trunk,
    stored_name,
)
from medprism.models.tpseg.trunk import HieraTrunk
from tests.models.checkpoints import save_nano

from .official import (
    LARGE,
    NANO,
    ODD,
    OTHERS,
    PREFIX,
    Official,
    draw_tensors,
    run_literally,
    shapes_of,
    write_official,
)
from .scene import worst

KNOWN = {"nano": NANO.ours(), "odd": ODD.ours()}
SHAPES = {"nano": NANO, "odd": ODD}


def draw_picture(height: int, width: int) -> np.ndarray:
    """Draw a picture of 8 bits whose borders and channels all differ."""
    rng = np.random.default_rng(3)
    ramp = np.linspace(20, 200, width)[None, :, None] * np.array([1.0, 0.6, 0.3])
    return np.clip(ramp + rng.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8)


def to_trunk(external: ExternalTrunk) -> HieraTrunk:
    trunk = HieraTrunk(external.config)
    trunk.load_state_dict(external.tensors)
    return trunk.eval()


def as_transformers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors as the same weights are called for transformers."""
    words = {
        "patch_embed.proj.": "patch_embed.projection.",
        ".norm": ".layer_norm",
        "mlp.layers.0": "mlp.proj_in",
        "mlp.layers.1": "mlp.proj_out",
    }
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in words.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def test_the_large_trunk_has_every_name_and_shape_of_the_official_one() -> None:
    official = shapes_of(LARGE)
    assert official["pos_embed"] == (1, 144, 7, 7)
    assert official["pos_embed_window"] == (1, 144, 8, 8)
    assert official["patch_embed.proj.weight"] == (144, 3, 7, 7)
    assert official["blocks.2.proj.weight"] == (288, 144)
    assert official["blocks.2.attn.qkv.weight"] == (864, 144)
    assert official["blocks.44.norm1.weight"] == (576,)
    assert official["blocks.47.mlp.layers.0.weight"] == (4608, 1152)
    assert [name for name in official if re.fullmatch(r"blocks\.\d+\.proj\.weight", name)] == [
        f"blocks.{number}.proj.weight" for number in (2, 8, 44)
    ]
    assert sum(math.prod(shape) for shape in official.values()) == 212_149_296
    with torch.device("meta"):
        trunk = HieraTrunk(OFFICIAL_TRUNKS["sam2_hiera_large"])
    found = {
        stored_name(name, SAM2_NAMES): tuple(tensor.shape)
        for name, tensor in trunk.state_dict().items()
    }
    assert found == official


def test_the_base_preset_is_the_large_trunk_but_for_its_pixels() -> None:
    assert LARGE.ours() == OFFICIAL_TRUNKS["sam2_hiera_large"]
    assert LARGE.ours(pixels="centred") == tpseg_base().trunk
    assert NANO.ours(pixels="centred") == tpseg_nano(1).trunk


def test_the_smaller_sizes_are_those_of_the_release() -> None:
    tiny = Official(96, 1, (1, 2, 7, 2), (5, 7, 9), 7, (8, 4, 14, 7))
    small = Official(96, 1, (1, 2, 11, 2), (7, 10, 13), 7, (8, 4, 14, 7))
    plus = Official(112, 2, (2, 3, 16, 3), (12, 16, 20), 14, (8, 4, 14, 7))
    assert {
        "sam2_hiera_tiny": tiny.ours(),
        "sam2_hiera_small": small.ours(),
        "sam2_hiera_base_plus": plus.ours(),
        "sam2_hiera_large": LARGE.ours(),
    } == OFFICIAL_TRUNKS


@pytest.mark.parametrize("name", SHAPES)
def test_our_trunk_computes_what_the_equations_say(tmp_path: Path, name: str) -> None:
    tensors, picture = draw_tensors(SHAPES[name]), draw_picture(64, 96)
    external = read_trunk(write_official(tmp_path / "sam2.safetensors", tensors), KNOWN)
    assert (external.shape, external.config) == (name, KNOWN[name])
    trunk = to_trunk(external)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)
    literal = run_literally(SHAPES[name], tensors, pixels)
    image = torch.from_numpy(standardise(picture))[None]
    with torch.no_grad():
        single = trunk(image)
        double = trunk.double()((pixels[None].double() - 127.5) / 63.75)
    for one, other, expected in zip(single, double, literal, strict=True):
        assert expected.abs().max() > 1
        assert worst(other[0], expected) < 1e-10
        assert worst(one[0], expected.float()) < 1e-3 * float(expected.abs().max())


def make_theirs(config: HieraConfig, size: tuple[int, int]) -> nn.Module:
    """Build the trunk of the package transformers, or skip the test where there is none."""
    sam2 = pytest.importorskip(
        "transformers.models.sam2",
        reason="pip install 'transformers>=4.56' compares with another implementation",
    )
    made: nn.Module = sam2.modeling_sam2.Sam2HieraDetModel(
        sam2.configuration_sam2.Sam2HieraDetConfig(
            hidden_size=config.embed,
            num_attention_heads=config.heads,
            image_size=list(size),
            window_positional_embedding_background_size=[config.place_grid] * 2,
            blocks_per_stage=list(config.blocks),
            embed_dim_per_stage=list(config.widths),
            num_attention_heads_per_stage=[config.heads * 2**stage for stage in range(4)],
            window_size_per_stage=list(config.windows),
            global_attention_blocks=list(config.global_blocks),
        )
    )
    return made.eval()


def ask_both(
    ours: nn.Module, theirs: nn.Module, picture: np.ndarray
) -> list[tuple[Tensor, Tensor]]:
    """Return the maps of both for a picture, each with the pixels that it is used to."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].double()
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    with torch.no_grad():
        found = ours.double()((pixels - 127.5) / 63.75)
        answer = theirs.double()((pixels / 255 - mean) / deviation)
    expected = [one.permute(0, 3, 1, 2) for one in answer.intermediate_hidden_states]
    return list(zip(found, expected, strict=True))


@pytest.mark.parametrize("name", SHAPES)
def test_our_trunk_computes_what_that_of_transformers_does(tmp_path: Path, name: str) -> None:
    theirs = make_theirs(KNOWN[name], (64, 96))
    named = as_transformers(draw_tensors(SHAPES[name]))
    theirs.load_state_dict(named)
    path = write_official(tmp_path / "model.safetensors", named, prefix="vision_encoder.backbone.")
    trunk = to_trunk(read_trunk(path, KNOWN))
    pairs = ask_both(trunk, theirs, draw_picture(64, 96))
    assert len(pairs) == 4
    for one, other in pairs:
        assert one.shape == other.shape
        assert worst(one, other) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL_TRUNKS)
def test_all_official_sizes_compute_what_those_of_transformers_do(name: str) -> None:
    config = OFFICIAL_TRUNKS[name]
    theirs = make_theirs(config, (128, 192))
    torch.manual_seed(3)
    trunk = HieraTrunk(config).eval()
    named = {stored_name(n, TRANSFORMERS_NAMES): t for n, t in trunk.state_dict().items()}
    theirs.load_state_dict(named)
    for one, other in ask_both(trunk, theirs, draw_picture(128, 192)):
        assert float(other.abs().max()) > 0.1
        assert worst(one, other) < 1e-10


def test_names_prefixes_and_company_change_nothing(tmp_path: Path) -> None:
    tensors = draw_tensors(NANO)
    one = read_trunk(write_official(tmp_path / "a.safetensors", tensors), KNOWN)
    named = as_transformers(tensors)
    assert set(named) == {stored_name(name, TRANSFORMERS_NAMES) for name in one.tensors}
    for number, (content, prefix, others) in enumerate(
        [(tensors, "", False), (named, "vision_encoder.backbone.", True), (named, "", False)]
    ):
        path = tmp_path / f"{number}.safetensors"
        other = read_trunk(write_official(path, content, prefix=prefix, others=others), KNOWN)
        assert other.weights_hash == one.weights_hash
    assert all(tensor.dtype == torch.float32 for tensor in one.tensors.values())
    changed = {**tensors, "pos_embed": tensors["pos_embed"] + 1}
    another = read_trunk(write_official(tmp_path / "b.safetensors", changed), KNOWN)
    assert another.weights_hash != one.weights_hash
    halves = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    rounded = read_trunk(write_official(tmp_path / "c.safetensors", halves), KNOWN)
    assert torch.equal(rounded.tensors["place"], tensors["pos_embed"].bfloat16().float())


def _missing(path: Path) -> str:
    return "no trunk at"


def _a_folder(path: Path) -> str:
    path.mkdir()
    return "no trunk at"


def _empty(path: Path) -> str:
    path.write_bytes(b"")
    return "not a whole safetensors file"


def _cut(path: Path) -> str:
    content = write_official(path, draw_tensors(NANO)).read_bytes()
    path.write_bytes(content[:-1000])
    return "not a whole safetensors file"


def _checkpoint(path: Path) -> str:
    save_nano(path)
    return r"holds 0 trunks of Hiera .* go to --init"


def _two_trunks(path: Path) -> str:
    tensors = draw_tensors(NANO)
    save_file({a + n: t.clone() for n, t in tensors.items() for a in ("a.", "b.")}, str(path))
    return "holds 2 trunks of Hiera"


def _names_missing(path: Path) -> str:
    tensors = draw_tensors(NANO)
    del tensors["blocks.1.norm2.bias"]
    write_official(path, tensors)
    return r"from nano, the nearest, 1 tensors differ, first blocks\.1\.norm2\.bias"


def _more_names(path: Path) -> str:
    write_official(path, {**draw_tensors(NANO), "blocks.9.norm1.bias": torch.zeros(3)})
    return r"nearest, 1 tensors differ, first blocks\.9\.norm1\.bias"


def _another_shape(path: Path) -> str:
    write_official(path, {**draw_tensors(NANO), "pos_embed": torch.zeros(1, 8, 14, 14)})
    return r"none of the shapes nano, odd: .* first pos_embed;"


def _whole_numbers(path: Path) -> str:
    write_official(path, {**draw_tensors(NANO), "pos_embed": torch.zeros(1, 8, 7, 7).long()})
    return r"pos_embed holds torch\.int64, not floats"


def _not_a_number(path: Path) -> str:
    write_official(path, {**draw_tensors(NANO), "pos_embed": torch.full((1, 8, 7, 7), math.nan)})
    return "pos_embed reaches nan, beyond 16-bit floats"


def _too_large(path: Path) -> str:
    write_official(path, {**draw_tensors(NANO), "pos_embed": torch.full((1, 8, 7, 7), 7e4)})
    return "pos_embed reaches 70000, beyond 16-bit floats"


WRONG = (
    *(_missing, _a_folder, _empty, _cut, _checkpoint, _two_trunks, _names_missing, _more_names),
    *(_another_shape, _whole_numbers, _not_a_number, _too_large),
)


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__.strip("_"))
def test_what_is_no_trunk_is_refused(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    path = tmp_path / "sam2.safetensors"
    says = spoil(path)
    with pytest.raises(CheckpointError, match=says) as refused:
        read_trunk(path, KNOWN)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


class Bomb:
    """Leaves a trace where it is unpickled."""

    trace: Path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, (f"open({str(self.trace)!r}, 'w').close()",))


def test_a_pickle_is_refused_by_its_content_and_never_run(tmp_path: Path) -> None:
    Bomb.trace = tmp_path / "exploded"
    plain, zipped = tmp_path / "plain.safetensors", tmp_path / "sam2_hiera_large.pt"
    plain.write_bytes(pickle.dumps(Bomb()))
    torch.save({"model": draw_tensors(NANO), "bomb": Bomb()}, zipped)
    for path in (plain, zipped):
        with pytest.raises(CheckpointError, match="is a pickle, which can run programs"):
            read_trunk(path, KNOWN)
    assert not Bomb.trace.exists()


def test_the_command_that_the_refusal_names_turns_the_official_file_into_a_trunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, path = draw_tensors(NANO), tmp_path / "my sam2.pt"
    others = {name: torch.zeros(shape) for name, shape in OTHERS.items()}
    torch.save({"model": {PREFIX + n: t for n, t in tensors.items()} | others}, path)
    with pytest.raises(CheckpointError) as refused:
        read_trunk(path, KNOWN)
    python, flag, program, *arguments = shlex.split(str(refused.value).partition("once: ")[2])
    assert (python, flag) == ("python", "-c")
    monkeypatch.setattr("sys.argv", ["-c", *arguments])
    exec(program, {})
    (target,) = (Path(one) for one in arguments if one != str(path))
    found = read_trunk(target, KNOWN)
    expected = read_trunk(write_official(tmp_path / "direct.safetensors", tensors), KNOWN)
    assert found.weights_hash == expected.weights_hash


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_whole(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "sam2.safetensors"
    content = bytearray(write_official(path, draw_tensors(NANO)).read_bytes())
    head = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, head - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        external = read_trunk(path, KNOWN)
    except CheckpointError:
        pass
    else:
        assert external.shape == "nano"


def test_the_settings_of_a_trunk_survive_json() -> None:
    for config in OFFICIAL_TRUNKS.values():
        assert type(config).from_json(json.loads(json.dumps(vars(config)))) == config
