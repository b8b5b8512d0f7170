"""Every kind of bad input that the issue names: status 2, one sentence, nothing half-written."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from safetensors.torch import save_file

from medprism.io.reader import read_mask
from medprism.models.checkpoint import load_checkpoint, save_checkpoint
from tests.apps.conftest import Command, Ended
from tests.inference.phantom import SHAPE, scene
from tests.models.checkpoints import make_info, tiny_tensors


def _nifti(path: Path, array: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return path


def _png() -> bytes:
    return bytes(cv2.imencode(".png", scene()[0])[1])


def _empty(folder: Path) -> Path:
    path = folder / "empty.png"
    path.touch()
    return path


def _truncated_png(folder: Path) -> Path:
    path = folder / "cut.png"
    path.write_bytes(_png()[:400])
    return path


def _truncated_nifti(folder: Path) -> Path:
    whole = _nifti(folder / "whole.nii.gz", np.random.default_rng(0).random((20, 30, 4)))
    path = folder / "cut.nii.gz"
    path.write_bytes(whole.read_bytes()[:900])
    whole.unlink()
    return path


def _nan(folder: Path) -> Path:
    return _nifti(folder / "nan.nii.gz", np.full((20, 30, 4), np.nan, np.float32))


def _zero_size(folder: Path) -> Path:
    path = folder / "flat.nrrd"
    header = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 0 30\nencoding: raw\n\n"
    path.write_bytes(header.encode())
    return path


def _text_as_png(folder: Path) -> Path:
    path = folder / "notes.png"
    path.write_text("seen on Monday, nothing new\n" * 20)
    return path


def _archive_as_nifti(folder: Path) -> Path:
    path = folder / "notes.nii.gz"
    path.write_bytes(gzip.compress(b"no image at all" * 100))
    return path


IMAGES: tuple[Callable[[Path], Path], ...] = (
    _empty,
    _truncated_png,
    _truncated_nifti,
    _nan,
    _zero_size,
    _text_as_png,
    _archive_as_nifti,
)


def _refused(ended: Ended, name: str, folder: Path) -> None:
    """Check status, one sentence with the file's name, and that nothing was left behind."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert name in ended.err
    assert not list(folder.glob(".writing-*"))
    assert not list(folder.glob("m.*"))


@pytest.mark.parametrize("make", IMAGES, ids=lambda make: make.__name__.strip("_"))
def test_images_that_are_none(
    medprism: Command, nano: Path, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    image = make(tmp_path)
    out = tmp_path / ("m.png" if image.suffix == ".png" else "m.nii.gz")
    ended = medprism("predict", image, "-o", out, "--model", nano, "--classes", "hook")
    _refused(ended, image.name, tmp_path)


def test_a_right_image_with_a_wrong_suffix_is_read_by_its_content(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(_png())
    out = tmp_path / "m.png"
    ended = medprism(
        "predict", tmp_path / "scan.nii.gz", "-o", out, "--model", nano, "--classes", "hook"
    )
    assert ended.status == 0, ended.err
    assert read_mask(out).array.shape == SHAPE


def test_a_reference_mask_of_another_size(
    medprism: Command, nano: Path, picture: Path, tmp_path: Path
) -> None:
    folder = _examples(tmp_path, mask=np.ones((80, 124), np.uint8))
    ended = _ask_by_example(medprism, nano, picture, folder)
    _refused(ended, "(1, 88, 124)", tmp_path)


def test_a_reference_without_foreground(
    medprism: Command, nano: Path, picture: Path, tmp_path: Path
) -> None:
    folder = _examples(tmp_path, mask=np.zeros(SHAPE, np.uint8))
    ended = _ask_by_example(medprism, nano, picture, folder)
    _refused(ended, "one.png has no foreground", tmp_path)


def test_an_image_without_its_mask(
    medprism: Command, nano: Path, picture: Path, tmp_path: Path
) -> None:
    folder = _examples(tmp_path, mask=np.ones(SHAPE, np.uint8))
    assert cv2.imwrite(str(folder / "images" / "two.png"), scene()[0])
    _refused(_ask_by_example(medprism, nano, picture, folder), "'two' has no partner", tmp_path)


def _examples(root: Path, mask: np.ndarray) -> Path:
    folder = root / "examples"
    for side, array in (("images", scene(1)[0]), ("masks", mask)):
        (folder / side).mkdir(parents=True)
        assert cv2.imwrite(str(folder / side / "one.png"), array)
    return folder


def _ask_by_example(medprism: Command, nano: Path, picture: Path, folder: Path) -> Ended:
    out = picture.with_name("m.png")
    return medprism("predict", picture, "-o", out, "--model", nano, "--references", folder)


def _missing(folder: Path, nano: Path) -> Path:
    return folder / "weights.safetensors"


def _cut(folder: Path, nano: Path) -> Path:
    path = folder / "weights.safetensors"
    path.write_bytes(nano.read_bytes()[:5000])
    return path


def _flipped(folder: Path, nano: Path) -> Path:
    path = folder / "weights.safetensors"
    content = bytearray(nano.read_bytes())
    content[-100] ^= 64
    path.write_bytes(bytes(content))
    return path


def _pickled(folder: Path, nano: Path) -> Path:
    path = folder / "weights.safetensors"
    path.write_bytes(pickle.dumps({"weights": [1.0]}))
    return path


def _foreign(folder: Path, nano: Path) -> Path:
    path = folder / "weights.safetensors"
    save_file(load_checkpoint(nano).tensors, str(path))
    return path


def _other_model(folder: Path, nano: Path) -> Path:
    path = folder / "weights.safetensors"
    save_checkpoint(path, make_info(architecture="unet"), tiny_tensors())
    return path


def _other_layout(folder: Path, nano: Path) -> Path:
    path = folder / "weights.safetensors"
    save_checkpoint(path, make_info(), tiny_tensors())
    return path


CHECKPOINTS = (_missing, _cut, _flipped, _pickled, _foreign, _other_model, _other_layout)


@pytest.mark.parametrize("make", CHECKPOINTS, ids=lambda make: make.__name__.strip("_"))
def test_checkpoints_that_are_none(
    medprism: Command,
    nano: Path,
    picture: Path,
    tmp_path: Path,
    make: Callable[[Path, Path], Path],
) -> None:
    weights = make(tmp_path, nano)
    out = tmp_path / "m.png"
    ended = medprism("predict", picture, "-o", out, "--model", weights, "--classes", "hook")
    name = "kprism-nano" if make in (_other_model, _other_layout) else weights.name
    _refused(ended, name, tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_mask_and_nothing_else(
    medprism: Command,
    nano: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    out = tmp_path / "m.png"
    out.write_bytes(b"an older mask")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    ended = medprism("predict", picture, "-o", out, "--model", nano, "--classes", "hook")
    monkeypatch.undo()
    assert ended.status == 2
    assert "No space left on device" in ended.err and "m.png" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert out.read_bytes() == b"an older mask"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.png", "picture.png"]


def test_a_one_pixel_image(medprism: Command, nano: Path, tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.array([[7]], np.uint8))
    SimpleITK.WriteImage(image, str(tmp_path / "dot.mha"))
    out = tmp_path / "m.mha"
    ended = medprism(
        "predict", tmp_path / "dot.mha", "-o", out, "--model", nano, "--classes", "hook"
    )
    _refused(ended, "dot.mha", tmp_path)
