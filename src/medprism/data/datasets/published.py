"""A published dataset as a value: where it comes from, how it lies on disk, how papers used it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from medprism.core.errors import ConfigError
from medprism.core.preprocess import RULES
from medprism.data.case import SPLITS, DatasetInfo
from medprism.data.datasets.file_pattern import FilePattern
from medprism.data.datasets.mask_kind import MaskKind

Ratio = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Cases (or labelled slices) of train, val and test; None where a paper does not say."""

    train: int | None = None
    val: int | None = None
    test: int | None = None

    def of(self, split: str) -> int | None:
        """Return the count of one split.

        >>> Counts(train=98, test=32).of("test")
        32
        """
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    def __str__(self) -> str:
        shown = (self.train, self.val, self.test)
        return " / ".join("-" if count is None else f"{count:,}" for count in shown)


@dataclass(frozen=True, kw_only=True)
class Use:
    """How a paper used the set.

    `split` says for every official part where it goes: to one split, or drawn by patient in the
    proportion train : val : test; parts that are not named are not used. `rule` is the paper's own
    rule in words. `classes` is the number of classes the paper counts, `total` the number of cases
    where it gives no more than that.
    """

    paper: Literal["K-Prism", "Iris", "TP-Seg"]
    role: Literal["train", "external", "unseen"]
    classes: int
    split: Mapping[str, str | Ratio]
    rule: str
    total: int | None = None
    cases: Counts = field(default_factory=Counts)
    slices: Counts = field(default_factory=Counts)


@dataclass(frozen=True, kw_only=True)
class PublishedSet:
    """One dataset in its official layout. A fact that is not known is None, never a guess.

    `labels` are all label ids of the release; `concepts` maps names of the shared vocabulary to
    the ids that form them. Ids in no concept are left out, as the paper does. `intensity` names
    one of `core.preprocess.RULES`. `layout` says the layout in words, `layout_source` where it is
    documented (a page, or code that reads it). `licence_source` is the page that states the licence
    or the terms, or quotes them; where `licence` is None, the page to ask at. `expected` lists the
    cases or patients of the release by name where they are known. With `tile`, pictures are cut
    into squares of that many pixels, those without labels dropped. The first of `uses` decides role
    and split.
    """

    name: str
    title: str
    home_page: str
    modality: str | None
    layout: str
    layout_source: str
    patterns: tuple[FilePattern, ...]
    mask: MaskKind
    labels: Mapping[int, str]
    concepts: Mapping[str, tuple[int, ...]]
    intensity: str
    uses: tuple[Use, ...]
    unit: Literal["volumes", "images"] = "volumes"
    licence: str | None = None
    redistributable: str | None = None
    licence_source: str | None = None
    citation: str | None = None
    expected: tuple[str, ...] = ()
    tile: int | None = None
    notes: str = ""

    def __post_init__(self) -> None:
        strays = {number for ids in self.concepts.values() for number in ids} - set(self.labels)
        if strays or self.intensity not in RULES or not self.uses:
            raise ConfigError(
                f"dataset {self.name}: concepts name labels {sorted(strays)} that are not there, "
                f"or {self.intensity!r} is none of {', '.join(RULES)}, or no paper uses it"
            )
        parts = {pattern.part for pattern in self.patterns}
        targets = {t for use in self.uses for t in use.split.values() if isinstance(t, str)}
        if parts - set(self.uses[0].split) or targets - set(SPLITS):
            raise ConfigError(
                f"dataset {self.name}: {self.uses[0].paper} must say for each of the parts "
                f"{', '.join(sorted(parts))} where it goes: {', '.join(SPLITS)} or a ratio"
            )

    @cached_property
    def classes(self) -> Mapping[int, str]:
        """Label ids that belong to a concept, with their names."""
        used = {number for ids in self.concepts.values() for number in ids}
        return {number: name for number, name in self.labels.items() if number in used}

    @property
    def left_out(self) -> Mapping[int, str]:
        """Label ids of the release that belong to no concept."""
        return {n: name for n, name in self.labels.items() if n not in self.classes}

    @cached_property
    def info(self) -> DatasetInfo:
        """What a store keeps of it."""
        return DatasetInfo(
            name=self.name,
            title=self.title,
            role=self.uses[0].role,
            modality=self.modality,
            classes=dict(self.classes),
            licence=self.licence,
            redistributable=self.redistributable,
            citation=self.citation,
            notes=self.notes,
        )
