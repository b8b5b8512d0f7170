from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.errors import ConfigError
from medprism.evaluation.bench.official.examination import READ
from medprism.evaluation.bench.official.packages import (
    PACKAGES,
    OfficialOrder,
    bare_name,
    is_official,
)
from medprism.evaluation.bench.official.runner import ADAPTERS
from medprism.evaluation.bench.systems import SYSTEMS
from medprism.evaluation.catalog import CATALOG


def test_every_package_has_weights_an_adapter_and_protocols_that_exist() -> None:
    assert set(PACKAGES) == set(READ) == set(ADAPTERS)
    for name, package in PACKAGES.items():
        assert set(package.protocols) <= set(CATALOG)
        assert ADAPTERS[name].modules and ADAPTERS[name].distributions
        assert "Apache-2.0" in package.licence
    assert "CC BY-NC-SA" in PACKAGES["nninteractive"].licence


def test_no_re_creation_can_be_taken_for_an_official_package() -> None:
    assert not any(is_official(one.title) or is_official(name) for name, one in SYSTEMS.items())
    order = OfficialOrder(package="nnunetv2", weights=Path("w"), python="p", name="nnU-Net, fold 0")
    assert is_official(order.method)
    assert bare_name(order.method) == "nnU-Net, fold 0"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"package": "medsam"}, "no package 'medsam'; there is nnunetv2, nninteractive, sam2"),
        ({"package": "sam2"}, "sam2 needs --config"),
        ({"config": "configs/x.yaml"}, "nnunetv2 has no --config"),
        ({"package": "sam2", "config": "c", "folds": ("0",)}, "sam2 has no folds"),
        ({"folds": ("0", "best")}, "fold 'best' must be"),
        ({"seconds": 0.0}, "seconds 0 must be"),
        ({"threads": 0}, "threads 0 at least 1"),
        ({"name": "kprism@2"}, "name 'kprism@2' may hold"),
        ({"name": "a/b"}, "name 'a/b' may hold"),
        ({"name": ""}, "name '' may hold"),
    ],
)
def test_what_a_package_does_not_have_is_refused(changes: dict[str, object], said: str) -> None:
    settings: dict[str, object] = {"package": "nnunetv2", "weights": Path("w"), "python": "p"}
    with pytest.raises(ConfigError, match=said):
        OfficialOrder(**{**settings, **changes})  # type: ignore[arg-type]
