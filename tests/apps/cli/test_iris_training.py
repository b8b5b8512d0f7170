from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medprism.apps.cli.iris_training import IrisWish, train_iris
from medprism.core.errors import ConfigError
from tests.data.volume_phantoms import write_phantom_set


def test_a_run_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_phantom_set(tmp_path / "data" / "phantoms", 4)
    wish = IrisWish(
        preset="iris-nano",
        out=tmp_path / "run",
        data=(data.parent,),
        minutes=None,
        steps=1,
        resume=False,
        without="dark bar",
        seed=None,
        init=None,
        others={"--store": None},
    )
    assert train_iris(wish) == 0
    said = capsys.readouterr()
    assert "1 of 1 steps" in said.out
    assert "phantoms at 1.25 mm; 1 steps" in said.err
    assert (tmp_path / "run" / "last.safetensors").is_file()
    again = replace(wish, resume=True)
    with pytest.raises(ConfigError, match="--data, --steps, --without was fixed"):
        train_iris(again)
    bare = replace(again, data=(), steps=None, without="")
    assert train_iris(bare) == 0
    with pytest.raises(ConfigError, match="is of iris-nano, not iris-compact"):
        train_iris(replace(bare, preset="iris-compact"))
    with pytest.raises(ConfigError, match="--store is nothing for"):
        train_iris(replace(wish, others={"--store": tmp_path}))
    begun = replace(wish, init=tmp_path / "run" / "last.safetensors", out=tmp_path / "more")
    assert train_iris(begun) == 0
    with pytest.raises(ConfigError, match="--init was fixed"):
        train_iris(replace(bare, out=begun.out, init=begun.init))
    with pytest.raises(ConfigError, match="give --data"):
        train_iris(replace(wish, data=(), out=tmp_path / "other"))
