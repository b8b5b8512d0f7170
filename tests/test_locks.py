"""The lock files cover what pyproject.toml asks for, with hashes, and name no private place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from locks.renew import entries, with_cpu_wheels
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "locks"
FILES = (
    "requirements.txt",
    "requirements-cuda.txt",
    "requirements-ray.txt",
    "requirements-test.txt",
)
# Where they are used without a GPU and with one; both are this project's business.
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}


def _locked(name: str) -> dict[str, Requirement]:
    text = (LOCKS / name).read_text(encoding="utf-8")
    found = [Requirement(entry.partition("\\")[0].strip()) for entry in entries(text)]
    return {canonicalize_name(one.name): one for one in found if _applies(one)}


def _applies(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate(LINUX)


def _everything() -> dict[str, Requirement]:
    return {
        **_locked("requirements.txt"),
        **_locked("requirements-ray.txt"),
        **_locked("requirements-test.txt"),
    }


def _wanted() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in project["project"]["optional-dependencies"].values():
        texts.extend(group)
    yield from (one for one in map(Requirement, texts) if one.name != "medprism")


@pytest.mark.parametrize("wanted", list(_wanted()), ids=lambda one: one.name)
def test_every_dependency_is_locked_at_a_version_that_is_allowed(wanted: Requirement) -> None:
    locked = _everything().get(canonicalize_name(wanted.name))
    assert locked is not None, f"run `python locks/renew.py`: {wanted.name} is not locked"
    (pin,) = locked.specifier
    assert pin.operator == "=="
    assert wanted.specifier.contains(pin.version, prereleases=True), (
        f"run `python locks/renew.py`: {locked} is locked, {wanted} is asked for"
    )


@pytest.mark.parametrize("name", FILES)
def test_every_line_is_pinned_and_has_hashes(name: str) -> None:
    for entry in entries((LOCKS / name).read_text(encoding="utf-8")):
        first, *hashes = [line.strip(" \\") for line in entry.splitlines()]
        assert len(list(Requirement(first).specifier)) == 1
        assert all(str(one).startswith("==") for one in Requirement(first).specifier)
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes)


def test_torch_carries_the_wheels_of_both_indexes() -> None:
    text = (LOCKS / "requirements.txt").read_text(encoding="utf-8")
    (torch,) = [one for one in entries(text) if one.startswith("torch==")]
    listed = (LOCKS / "torch-cpu.sha256").read_text(encoding="utf-8").splitlines()
    for line in listed:
        digest, name = line.split()
        assert digest in torch and name.startswith(f"torch-{torch.split()[0][7:]}+cpu-")
    # Those of PyPI besides, one for every system and Python.
    assert torch.count("--hash") > len(listed) + 5
    cuda = _locked("requirements-cuda.txt")
    assert {"triton", "nvidia-cublas"} <= set(cuda)
    assert not set(cuda) & set(_everything())


def test_those_who_use_it_need_no_tools_of_those_who_change_it() -> None:
    used = set(_locked("requirements.txt"))
    assert not used & set(_locked("requirements-test.txt"))
    assert {"torch", "fastapi", "nilearn", "tensorboard", "hatchling"} <= used
    assert not {"pytest", "mypy", "mkdocs", "schemathesis", "playwright"} & used


def test_clusters_need_packages_of_their_own_and_the_same_versions() -> None:
    used, clustered = set(_locked("requirements.txt")), _locked("requirements-ray.txt")
    assert {"ray", "pyarrow"} <= set(clustered)
    assert not used & set(clustered)
    tested = _locked("requirements-test.txt")
    shared = clustered.keys() & tested.keys()
    assert all(clustered[name].specifier == tested[name].specifier for name in shared)


def test_no_place_of_somebody_is_named() -> None:
    for name in (*FILES, "torch-cpu.sha256"):
        text = (LOCKS / name).read_text(encoding="utf-8")
        assert not re.search(r"://|@|file:|index-url|find-links|(?<!\w)/", text), name


def test_a_torch_without_cpu_wheels_is_no_lock() -> None:
    listed = "ab12  torch-2.13.0+cpu-cp311-cp311-linux.whl\ncd34  torch-2.12.0+cpu-cp311.whl\n"
    entry = "torch==2.13.0 \\\n    --hash=sha256:ef"
    assert with_cpu_wheels(entry, listed) == entry + " \\\n    --hash=sha256:ab12"
    assert with_cpu_wheels("numpy==2.0 \\\n    --hash=sha256:ef", "").endswith("ef")
    with pytest.raises(SystemExit, match="no wheel of torch 2.14.0"):
        with_cpu_wheels("torch==2.14.0 \\\n    --hash=sha256:ef", listed)
