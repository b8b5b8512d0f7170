from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from medprism.core.errors import CheckpointError, FormatVersionError, InternalError, WriteError
from medprism.models import checkpoint as module
from medprism.models.checkpoint import (
    Checkpoint,
    hash_tensors,
    load_checkpoint,
    save_checkpoint,
    to_half,
)

from .checkpoints import CONCEPTS, make_info, tiny_tensors

GOLDEN = Path(__file__).parent / "golden" / "checkpoint-version-1.safetensors"
GOLDEN_HASH = "d00aa6f5cbaf1d7bacc6bd07b0ac48051db91fcb22cae56ec7cad701c9e27900"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "tiny.safetensors"
    save_checkpoint(path, make_info(), tiny_tensors())
    return path.read_bytes()


def rewrite(path: Path, **changes: Any) -> None:  # noqa: ANN401
    """Write the tiny checkpoint with other entries in its document; None removes one."""
    document = {
        "format": module.FORMAT,
        "version": 1,
        "weights_hash": hash_tensors(tiny_tensors()),
        **make_info().to_json(),
        **changes,
    }
    kept = {name: value for name, value in document.items() if value is not None}
    save_file(tiny_tensors(), str(path), {"medprism": json.dumps(kept)})


def check_is_tiny(loaded: Checkpoint) -> None:
    expected = tiny_tensors()
    assert loaded.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    digest = save_checkpoint(path, make_info(), tiny_tensors())
    loaded = load_checkpoint(path)
    check_is_tiny(loaded)
    assert loaded.weights_hash == digest
    assert loaded.info.to_json() == json.loads(json.dumps(make_info().to_json()))
    assert loaded.info.concepts.row("crook") == 0
    assert loaded.info.concepts.names == CONCEPTS.names


def test_the_same_checkpoint_gives_the_same_tensor_bytes_and_hash(tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    reverse = dict(reversed(list(tiny_tensors().items())))
    assert save_checkpoint(one, make_info(), tiny_tensors()) == save_checkpoint(
        other, make_info(), reverse
    )
    assert one.read_bytes() == other.read_bytes()


def test_tensors_that_share_memory_or_lie_transposed_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "views.safetensors"
    big = torch.arange(12.0).reshape(3, 4)
    save_checkpoint(path, make_info(), {"turned": big.T, "row": big[1], "same": big[1]})
    loaded = load_checkpoint(path).tensors
    assert torch.equal(loaded["turned"], big.T) and torch.equal(loaded["same"], big[1])


def test_the_golden_file_of_version_1_stays_readable() -> None:
    loaded = load_checkpoint(GOLDEN)
    check_is_tiny(loaded)
    assert loaded.weights_hash == GOLDEN_HASH
    expected = json.loads(GOLDEN.with_suffix(".json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(loaded.info.to_json())) == expected


def test_the_file_carries_format_and_version_and_no_pickle(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(content)
    with safe_open(str(path), framework="pt") as stored:
        document = json.loads(stored.metadata()["medprism"])
    assert document["format"] == "medprism-checkpoint"
    assert document["version"] == 1


def refuse(path: Path, kind: type[Exception], says: str) -> None:
    """Expect one sentence that names the file."""
    with pytest.raises(kind, match=says) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    header = 8 + int.from_bytes(content[:8], "little")
    # In the length, in the header, at its end, in the tensors, one byte short.
    length = data.draw(
        st.one_of(
            st.integers(0, 8),
            st.integers(8, header),
            st.integers(header, len(content) - 1),
            st.sampled_from([header - 1, header, header + 1, len(content) - 1]),
        )
    )
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    path.write_bytes(content[:length])
    refuse(path, CheckpointError, "fetch it again")


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_damaged_byte_is_refused_or_harmless(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    damaged = bytearray(content)
    damaged[place % len(content)] ^= flip
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(bytes(damaged))
    try:
        loaded = load_checkpoint(path)
    except (CheckpointError, FormatVersionError) as error:
        assert str(path) in str(error)
        return
    # The damage hit a word of the card: the weights are those that were stored.
    check_is_tiny(loaded)


def test_a_changed_weight_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "changed.safetensors"
    rewrite(path, weights_hash="0" * 64)
    refuse(path, CheckpointError, "names 000000000000")


@pytest.mark.parametrize("value", [None, 7, [], {"a": 1}])
def test_a_missing_or_odd_hash_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "odd.safetensors"
    rewrite(path, weights_hash=value)
    refuse(path, CheckpointError, "damaged")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "none.safetensors", CheckpointError, "no checkpoint")
    refuse(tmp_path, CheckpointError, "no checkpoint")


@pytest.mark.parametrize("junk", [b"", b"\x00" * 64, b"\xff" * 64, b"not a checkpoint at all\n"])
def test_any_other_file_is_refused(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "junk.safetensors"
    path.write_bytes(junk)
    refuse(path, CheckpointError, "not a whole safetensors file")


class Bomb:
    """Leaves a trace where it is unpickled."""

    trace: Path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, (f"open({str(self.trace)!r}, 'w').close()",))


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    Bomb.trace = tmp_path / "exploded"
    plain, zipped = tmp_path / "model.pkl", tmp_path / "model.pth"
    plain.write_bytes(pickle.dumps(Bomb()))
    torch.save({"weights": tiny_tensors(), "bomb": Bomb()}, zipped)
    for path in (plain, zipped):
        refuse(path, CheckpointError, "not a whole safetensors file")
    assert not Bomb.trace.exists()


def test_tensors_of_another_program_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(tiny_tensors(), str(path))
    refuse(path, CheckpointError, "not a medprism checkpoint")
    for text in ("[", "[]", "7", '"x"', "null", "{}", "[" * 100_000):
        save_file(tiny_tensors(), str(path), {"medprism": text})
        refuse(path, CheckpointError, "not a medprism checkpoint")
    rewrite(path, format="medprism-training-state")
    refuse(path, CheckpointError, "'medprism-training-state'")


@pytest.mark.parametrize("version", [2, 99, 0, -1, True, "1", 1.0, None])
def test_a_newer_or_odd_version_is_refused(tmp_path: Path, version: object) -> None:
    path = tmp_path / "newer.safetensors"
    rewrite(path, version=version)
    refuse(path, FormatVersionError, "update medprism")


@pytest.mark.parametrize("field", sorted(make_info().to_json()))
@pytest.mark.parametrize("value", [None, 7, "x", ["x"], {"x": 1}])
def test_information_that_is_missing_or_odd_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    if isinstance(value, type(make_info().to_json()[field])) and field != "concepts":
        return
    path = tmp_path / "odd.safetensors"
    rewrite(path, **{field: value})
    refuse(path, CheckpointError, re.escape(field))


@pytest.mark.parametrize(
    "entry",
    [
        {"synonyms": [], "label_ids": {}},
        {"name": 3, "synonyms": [], "label_ids": {}},
        {"name": "liver", "synonyms": "hepar", "label_ids": {}},
        {"name": "liver", "synonyms": [None], "label_ids": {}},
        {"name": "liver", "synonyms": [], "label_ids": []},
        {"name": "liver", "synonyms": [], "label_ids": {"amos": 6}},
        {"name": "liver", "synonyms": [], "label_ids": {"amos": ["6"]}},
    ],
)
def test_an_odd_concept_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    path = tmp_path / "odd.safetensors"
    rewrite(path, concepts=[entry])
    refuse(path, CheckpointError, "no usable concepts")


def test_two_concepts_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.safetensors"
    entry = {"name": "liver", "synonyms": [], "label_ids": {}}
    rewrite(path, concepts=[entry, {**entry, "name": "Liver"}])
    refuse(path, CheckpointError, "unique")


def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(content)

    def full(tensors: object, name: str, metadata: object) -> None:
        Path(name).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(WriteError, match="No space left"):
        save_checkpoint(path, make_info("other"), tiny_tensors())
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_half_precision_keeps_counters_and_values_in_range() -> None:
    halves = to_half({"w": torch.tensor([65504.0, -1e-3]), "n": torch.tensor(3)})
    assert halves["w"].dtype == torch.float16 and halves["n"].dtype == torch.int64
    assert halves["w"][0].item() == 65504.0
    assert to_half({"empty": torch.zeros(0)})["empty"].shape == (0,)


@pytest.mark.parametrize("value", [65520.0, -1e5, float("inf"), float("nan")])
def test_values_beyond_half_precision_are_refused(value: float) -> None:
    with pytest.raises(InternalError, match=r"decoder\.bias reaches"):
        to_half({"decoder.bias": torch.tensor([0.0, value])})


def test_the_hash_sees_names_shapes_dtypes_and_every_bit() -> None:
    base = {"a": torch.tensor([[0.0, 1.0]])}
    others = [
        {"b": torch.tensor([[0.0, 1.0]])},
        {"a": torch.tensor([0.0, 1.0])},
        {"a": torch.tensor([[0.0, 1.0]], dtype=torch.float64)},
        {"a": torch.tensor([[-0.0, 1.0]])},
        {"a": torch.tensor([[0.0, 1.0]]), "n": torch.zeros(0)},
    ]
    digests = {hash_tensors(tensors) for tensors in [base, *others]}
    assert len(digests) == 6
