"""The official packages: what they are called in tables, and what a user says about one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.core.errors import ConfigError
from medprism.evaluation.protocols import INTERACTIVE, SEMANTIC

OFFICIAL: Final = "official package"
CHECKPOINT: Final = "checkpoint_final.pth"
_SUFFIX: Final = " (official)"


@dataclass(frozen=True)
class Package:
    """A package: its title, how it is installed, how it is asked, and under which licences."""

    title: str
    install: str
    protocols: tuple[str, ...]
    licence: str
    has_folds: bool


PACKAGES: Final[Mapping[str, Package]] = {
    "nnunetv2": Package(
        "nnU-Net", "nnunetv2", (SEMANTIC,), "code Apache-2.0, weights are the user's", True
    ),
    "nninteractive": Package(
        "nnInteractive",
        "nninteractive",
        (INTERACTIVE,),
        "code Apache-2.0, published weights CC BY-NC-SA 4.0",
        True,
    ),
    "sam2": Package(
        "SAM 2", "sam2", (INTERACTIVE,), "code and published weights Apache-2.0", False
    ),
}


@dataclass(frozen=True, kw_only=True)
class OfficialOrder:
    """A package that is to be examined, with weights and an interpreter of the user's.

    `python` is a program (a path, or a name to be found in PATH). `weights` is a trained folder of
    nnU-Net or nnInteractive, of which `folds` ("0", "1", ... or "all"; none: those that are there)
    with the file `checkpoint` are read, or a checkpoint of SAM 2, whose `config` names its size.
    `device` is "auto" or what torch calls one; `seconds` limits loading and every answer. `name`
    tells weights of one package apart in tables.

    Raises:
        ConfigError: no such package, or a setting that it does not have or cannot do without.
    """

    package: str
    weights: Path
    python: str
    config: str | None = None
    folds: tuple[str, ...] = ()
    checkpoint: str = CHECKPOINT
    device: str = "auto"
    threads: int | None = None
    seconds: float = 600.0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.package not in PACKAGES:
            raise ConfigError(f"no package {self.package!r}; there is {', '.join(PACKAGES)}")
        has_folds = PACKAGES[self.package].has_folds
        if has_folds == (self.config is not None):
            raise ConfigError(
                f"{self.package} has no --config; leave it out"
                if has_folds
                else f"{self.package} needs --config, such as configs/sam2.1/sam2.1_hiera_t.yaml"
            )
        if not has_folds and self.folds:
            raise ConfigError(f"{self.package} has no folds; leave out --folds")
        wrong = [fold for fold in self.folds if fold != "all" and not fold.isdecimal()]
        if wrong:
            raise ConfigError(f"fold {wrong[0]!r} must be a number or 'all'")
        if self.seconds <= 0 or (self.threads is not None and self.threads < 1):
            raise ConfigError(
                f"seconds {self.seconds:g} must be above 0 and threads {self.threads} at least 1"
            )
        if self.name is not None and not re.fullmatch(r"[\w .,+-]+", self.name):
            raise ConfigError(f"name {self.name!r} may hold letters, digits, spaces and . , + - _")

    @property
    def method(self) -> str:
        """What tables call it.

        >>> OfficialOrder(package="nnunetv2", weights=Path("w"), python="python3").method
        'nnU-Net (official)'
        """
        return f"{self.name or PACKAGES[self.package].title}{_SUFFIX}"


def is_official(method: str) -> bool:
    """Say whether a method of a table is an official package.

    >>> is_official("nnU-Net (official)"), is_official("nnInteractive-style")
    (True, False)
    """
    return method.endswith(_SUFFIX)


def bare_name(method: str) -> str:
    """Return the name of an official method without what marks it as one.

    >>> bare_name("SAM 2 (official)")
    'SAM 2'
    """
    return method.removesuffix(_SUFFIX)
