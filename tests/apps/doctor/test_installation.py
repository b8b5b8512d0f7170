from __future__ import annotations

import builtins
from importlib.metadata import PackageNotFoundError

import pytest
from pydicom.pixels.decoders import base

from medprism.apps.doctor import installation
from medprism.apps.doctor.finding import Finding
from medprism.apps.doctor.installation import check_decoders, check_installation, check_torch

WANTED = (
    "numpy>=2.0",
    "torch==2.13.0",
    'tzdata; sys_platform == "win98"',
    'fastapi>=0.115; extra == "workbench"',
    "pytest>=8; extra == 'test'",
)


def _check(**versions: str) -> dict[str, Finding]:
    def installed(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    found = check_installation(WANTED, installed)
    return {finding.subject: finding for finding in found}


def test_a_whole_installation_is_in_order() -> None:
    found = _check(medprism="0.1.0", numpy="2.4.6", torch="2.13.0+cpu", fastapi="0.165.0")
    assert list(found) == ["medprism", "packages", "extra workbench"]
    assert {finding.state for finding in found.values()} == {"ok"}
    assert found["medprism"].found.startswith("0.1.0, Python 3.")


def test_what_is_missing_or_too_old_is_a_problem_with_the_way_out() -> None:
    packages = _check(medprism="0.1.0", torch="2.12.0", fastapi="1.0")["packages"]
    assert packages.state == "problem"
    assert packages.found.endswith("numpy>=2.0; torch==2.13.0 (there is 2.12.0)")
    assert packages.advice == "pip install --upgrade medprism"


def test_an_extra_that_is_not_there_is_no_problem() -> None:
    extra = _check(medprism="0.1.0", numpy="2.4.6", torch="2.13.0")["extra workbench"]
    assert extra.state == "note"
    assert "pip install 'medprism[workbench]'" in extra.advice


def test_the_metadata_of_medprism_itself_are_understood() -> None:
    found = {finding.subject for finding in check_installation()}
    assert {"medprism", "packages", "extra demo", "extra train"} <= found
    assert not {"extra test", "extra docs"} & found


def test_torch_is_used_and_not_only_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_torch().state == "ok"
    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "torch":
            raise OSError("libtorch_cpu.so: cannot open shared object file\nmore")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    broken = check_torch()
    assert broken.state == "problem"
    assert "libtorch_cpu.so" in broken.found and "more" not in broken.found
    assert "torch==2.13.0" in broken.advice


def test_every_compression_has_a_decoder_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.state for finding in check_decoders()] == ["ok"]

    class Closed:
        is_available = False

    monkeypatch.setattr(base, "get_decoder", lambda _: Closed())
    (broken,) = check_decoders()
    assert broken.state == "problem"
    assert all(name in broken.found for name in installation.COMPRESSIONS)


def test_a_reader_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_LIBRARIES", ("json", "no_such_reader"))
    (broken,) = check_decoders()
    assert broken.state == "problem"
    assert broken.found == "cannot import no_such_reader"
