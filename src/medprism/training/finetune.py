"""Fine-tuning: a checkpoint learns classes from a few masks and keeps what it knew.

The encoders stay as they are. The rows of the trained classes learn, and the decoder slowly along
with them, while the old checkpoint's own answers on the new images (and old masks, where there are
some) are rehearsed. Figures are taken before and after on masks that were held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from medprism.core.durable import make_folder, read_json, write_json
from medprism.core.errors import CancelledError, CheckpointError, ConfigError
from medprism.core.preprocess import MULTIPLE
from medprism.core.progress import Progress
from medprism.core.randomness import counter_rng
from medprism.data.episode import EpisodeSampler
from medprism.data.held_out import LEAST_MASKS, count_cases, count_masks
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import from_weights
from medprism.models.catalog import build_from_checkpoint
from medprism.models.checkpoint import Checkpoint, CheckpointInfo, to_half
from medprism.models.kprism.config import KPrismConfig
from medprism.models.kprism.model import KPrism
from medprism.training.batches import DrawsEpisodes
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.initial import CLASS_TENSORS, begin_with, draw_weights
from medprism.training.lesson import Lesson
from medprism.training.likeness import scan
from medprism.training.loop import STATE_FILE, Learner, Schedule, train
from medprism.training.rehearsal import Memory, RehearsingSampler, make_learner
from medprism.training.run_length import check_length
from medprism.training.state import read_average
from medprism.training.timing import steps_within, time_steps

__all__ = ["LEAST_MASKS", "Exam", "FineTuneConfig", "FineTuned", "fine_tune"]

FORMAT: Final = "medprism-finetune"
VERSION: Final = 1
RECORD: Final = "finetune.json"
MINUTES: Final = 2.0
# How many training images are looked through for old classes that are like a new one.
SCANNED: Final = 2
SAVE_EVERY: Final = 20
# Steps that are timed of each stage at least: few, since a fine-tuning has few.
TIMED: Final = 3
# No stage is smaller than this.
LEAST_SIDE: Final = 96


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """How a fine-tuning learns.

    `rate` is that of the class rows; the decoder learns at `decoder_rate` times it. `keep` is the
    weight of the old checkpoint's answers in the loss, `rehearsed` the share of requests from old
    masks where there are some, `odds` those of batches asking by class, by references, by marks.
    `small` is the share of the steps that are taken on canvases of half the side. `held_out` is the
    share of cases that are measured on and never learned from; those who plan a lesson take it.
    """

    requests: int = 4
    rate: float = 5e-3
    decoder_rate: float = 0.05
    keep: float = 4.0
    rehearsed: float = 0.5
    odds: tuple[float, float, float] = (0.7, 0.15, 0.15)
    held_out: float = 0.25
    small: float = 0.6
    bfloat16: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        shares = (self.held_out, self.small, 1 - self.rehearsed)
        if self.requests < 1 or not all(0 < share <= 1 for share in shares) or shares[0] == 1:
            raise ConfigError(
                "a fine-tuning needs at least 1 request a step, holds out more than 0 and less "
                "than all cases, and rehearses less than all requests, got "
                f"{self.requests}, {self.held_out} and {self.rehearsed}"
            )


@runtime_checkable
class Exam(Protocol):
    """Measures a model before and after, on masks that were held out."""

    def before(self, model: LoadedModel, likely: Sequence[int], progress: Progress) -> None:
        """Measure the old model; `likely` are the rows of classes it finds on training images."""

    def after(self, model: LoadedModel, progress: Progress) -> dict[str, Any]:
        """Measure the new model; return the figures of both as plain data."""


# The lesson and the long side of slices -> what measures.
MakeExam = Callable[[Lesson, int], Exam]


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What came out: weights in 16 bits, what they say about themselves, what was measured."""

    info: CheckpointInfo
    weights: dict[str, Tensor]
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long to learn: `steps` or `minutes`, one of the two."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        check_length("a fine-tuning", self.steps, self.minutes)
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}")


def fine_tune(
    parent: Checkpoint,
    lesson: Lesson,
    folder: Path,
    length: Length,
    make_exam: MakeExam,
    progress: Progress,
    config: FineTuneConfig | None = None,
) -> FineTuned:
    """Learn a lesson, going on in `folder` where an earlier call was stopped or killed.

    Nothing but `folder` is written to; it can be removed once the result is kept. The same
    arguments give the same weights, however often it was stopped (with `minutes`, from the moment
    they were turned into steps).

    Raises:
        CancelledError: the progress asked to stop; called again, it goes on.
        CheckpointError: `folder` holds a fine-tuning of other masks or settings.
        ConfigError: too few minutes for a single step.
    """
    return _FineTuning(parent, lesson, folder, config or FineTuneConfig()).run(
        length, make_exam, progress
    )


@dataclass(frozen=True)
class _Start:
    """What was found and fixed before the first step."""

    steps: int
    likely: tuple[int, ...]
    begins: Mapping[str, int | None]
    timing: Mapping[str, Any]


class _FineTuning:
    def __init__(
        self, parent: Checkpoint, lesson: Lesson, folder: Path, config: FineTuneConfig
    ) -> None:
        self.parent = parent
        self.lesson = lesson
        self.folder = folder
        self.config = config
        self.long_side = int(parent.info.preprocessing["long_side"])
        self.old = build_from_checkpoint(parent).requires_grad_(False)
        settings = KPrismConfig.from_json(dict(parent.info.config))
        self.settings = replace(settings, num_concepts=len(lesson.concepts))
        self.sampler = self._make_sampler()

    def run(self, length: Length, make_exam: MakeExam, progress: Progress) -> FineTuned:
        exam = make_exam(self.lesson, self.long_side)
        make_folder(self.folder)
        start = self._start(length, progress)
        part = _Part(progress, 0, start.steps, "measuring before")
        exam.before(self._loaded(self.parent.tensors, is_old=True), start.likely, part)
        seconds = self._learn(start, progress)
        weights = to_half(read_average(self.folder / STATE_FILE))
        part = _Part(progress, start.steps, start.steps, "measuring after")
        figures = exam.after(self._loaded(weights, is_old=False), part)
        report = {
            "classes": list(self.lesson.taught),
            "masks": self._counts(),
            "steps": start.steps,
            "seconds": round(seconds, 1),
            **figures,
        }
        return FineTuned(self._info(start, report), weights, report)

    def _start(self, length: Length, progress: Progress) -> _Start:
        """Return what the record in the folder fixed, else fix it now."""
        asked = self._asked(length)
        path = self.folder / RECORD
        if path.exists():
            document = read_json(path, FORMAT, VERSION)
            if document["asked"] != asked:
                raise CheckpointError(
                    f"{self.folder} holds a fine-tuning of other masks, settings or another "
                    "checkpoint; remove it, or choose another place"
                )
            return _Start(
                document["steps"], tuple(document["likely"]), document["begins"], document["timing"]
            )
        _report(progress, 0, 0, "looking")
        likely, begins = self._look()
        start = _Start(length.steps or 1, likely, begins, {})
        if length.minutes is not None:
            start = self._timed(start, length.minutes, progress)
        fixed = {key: value for key, value in asdict(start).items()}
        write_json(path, FORMAT, VERSION, {"asked": asked, **fixed})
        return start

    def _asked(self, length: Length) -> dict[str, Any]:
        """Return what must be the same for a fine-tuning to be gone on with, as JSON has it."""
        masks = self._masks("train") + self._masks("val")
        sha = hashlib.sha256("\n".join(mask["mask"] for mask in masks).encode())
        return {
            "parent": self.parent.weights_hash,
            "classes": list(self.lesson.taught),
            "masks": sha.hexdigest(),
            "config": {**asdict(self.config), "odds": list(self.config.odds)},
            "length": asdict(length),
        }

    def _look(self) -> tuple[tuple[int, ...], dict[str, int | None]]:
        """Find old classes that are like the new ones, and those the old model finds there."""
        likely: set[int] = set()
        begins: dict[str, int | None] = {}
        old = list(range(self.lesson.num_old))
        for name, ids in self.lesson.taught.items():
            numbers = self._some_rows(name)
            by_set = {self.lesson.store.rows[n].dataset for n in numbers}
            chosen = [n for n in numbers if self.lesson.store.rows[n].dataset == min(by_set)]
            found = scan(self.old, self.lesson.store, chosen, ids[min(by_set)], old, self.long_side)
            likely |= set(found.found)
            is_new = self.lesson.concepts.row(name) >= self.lesson.num_old
            begins[name] = found.start if is_new else None
        return tuple(sorted(likely - set(self.lesson.rows))), begins

    def _some_rows(self, name: str) -> list[int]:
        """Return a few training rows that show a class, drawn by the seed."""
        ids = self.lesson.taught[name]
        shown = [
            number
            for number, row in enumerate(self.lesson.store.rows)
            if row.split == "train" and set(ids.get(row.dataset, ())) & set(row.areas)
        ]
        order = counter_rng(self.config.seed, name, "scan").permutation(len(shown))
        return sorted(shown[int(i)] for i in order[:SCANNED])

    def _timed(self, start: _Start, minutes: float, progress: Progress) -> _Start:
        config = self._train_config(1000)
        timing = time_steps(
            lambda: self._build(start),
            self.sampler,
            config,
            minutes,
            lambda model, run: self._learner(model, run, start),
            fewest=TIMED,
            progress=progress,
        )
        described = {"minutes": minutes, "seconds_per_step": list(timing.seconds_per_step)}
        return replace(start, steps=steps_within(config, timing, minutes), timing=described)

    def _learn(self, start: _Start, progress: Progress) -> float:
        """Train to the last step; return the seconds it took, those of earlier calls included.

        Raises:
            CancelledError: stopped before the last step.
        """
        position = train(
            self._build(start),
            self.sampler,
            self._train_config(start.steps),
            self.folder,
            schedule=Schedule(save_every=SAVE_EVERY, log_every=start.steps),
            validate=None,
            on_best=None,
            log=_NoLog(),
            progress=_Part(progress, 0, start.steps, "learning"),
            make_learner=lambda model, config: self._learner(model, config, start),
        )
        if position.step < start.steps:
            raise CancelledError(
                f"stopped after step {position.step} of {start.steps}; what was learned is kept, "
                "go on to finish it"
            )
        return position.seconds

    def _build(self, start: _Start) -> KPrism:
        """Return the model a fine-tuning begins with; the same seed gives the same weights."""
        model = draw_weights(self.config.seed, lambda: KPrism(self.settings))
        begin_with(model, self.parent)
        tables = dict(model.named_parameters())
        with torch.no_grad():
            for name, old in start.begins.items():
                if old is not None:
                    for table in CLASS_TENSORS:
                        tables[table][self.lesson.concepts.row(name)] = tables[table][old]
        return model

    def _learner(self, model: KPrism, config: TrainConfig, start: _Start) -> Learner:
        return make_learner(
            model,
            config,
            self.lesson.rows,
            Memory(self.old, self.lesson.old_rows, start.likely),
            decoder_rate=self.config.decoder_rate,
            weight=self.config.keep,
        )

    def _train_config(self, steps: int) -> TrainConfig:
        settings = self.config
        return TrainConfig(
            preset=self.parent.info.name,
            steps=steps,
            stages=self._stages(),
            seed=settings.seed,
            odds=settings.odds,
            peak_rate=settings.rate,
            final_rate=settings.rate / 50,
            warmup_share=0.1,
            self_reference_until=0.0,
            bfloat16=settings.bfloat16,
            pretrained=None,
        )

    def _stages(self) -> tuple[StageConfig, ...]:
        """Return what is seen small first: a step at half the size costs a quarter."""
        whole = StageConfig(size=self.long_side, share=1.0, requests=self.config.requests)
        small = _half(self.long_side)
        if small == self.long_side:
            return (whole,)
        share = self.config.small
        return (replace(whole, size=small, share=share), replace(whole, share=1 - share))

    def _make_sampler(self) -> DrawsEpisodes:
        lesson = self.lesson
        new = EpisodeSampler(lesson.store, lesson.table_of(lesson.taught), partial={})
        old = []
        if any(count_masks(lesson.store, ids, "train") for ids in lesson.labelled.values()):
            # Labels of other classes may be there on some images only: never taken as absent.
            bare = lesson.table_of({})
            old.append(EpisodeSampler(lesson.store, bare, partial=lesson.labelled))
        if lesson.rehearsal is not None:
            known = lesson.rehearsal
            old.append(EpisodeSampler(known.store, known.concepts, partial=known.partial))
        return RehearsingSampler(new, old, self.config.rehearsed) if old else new

    def _loaded(self, weights: Mapping[str, Tensor], *, is_old: bool) -> LoadedModel:
        info = self.parent.info
        settings = KPrismConfig.from_json(dict(info.config)) if is_old else self.settings
        concepts = info.concepts if is_old else self.lesson.concepts
        full = {n: t.float() if t.is_floating_point() else t for n, t in weights.items()}
        return from_weights(settings, full, concepts, self.long_side)

    def _counts(self) -> dict[str, int]:
        lesson = self.lesson
        counts = {"training": 0, "held_out": 0, "training_cases": 0, "held_out_cases": 0}
        for ids in lesson.taught.values():
            for side, split in (("training", "train"), ("held_out", "val")):
                counts[side] += count_masks(lesson.store, ids, split)
                counts[f"{side}_cases"] += count_cases(lesson.store, ids, split)
        return counts

    def _masks(self, split: str) -> list[dict[str, str]]:
        """Return the digests of the images and masks of a split."""
        return [
            {"class": name, "image": row.content, "mask": _digest(lesson_store, number, wanted)}
            for lesson_store in (self.lesson.store,)
            for name, ids in self.lesson.taught.items()
            for number, row in enumerate(lesson_store.rows)
            if row.split == split
            and (wanted := tuple(sorted(set(ids.get(row.dataset, ())) & set(row.areas))))
        ]

    def _info(self, start: _Start, report: dict[str, Any]) -> CheckpointInfo:
        info = self.parent.info
        former = list(info.training.get("fine_tunings", ()))
        this = {
            "parent": self.parent.weights_hash,
            "classes": list(self.lesson.taught),
            "begun_with": {
                name: None if row is None else self.lesson.concepts.names[row]
                for name, row in start.begins.items()
            },
            "masks": {"training": self._masks("train"), "held_out": self._masks("val")},
            "config": asdict(self.config),
            "steps": start.steps,
            "seconds": report["seconds"],
        }
        parent_licence = info.card.get("licence", "unknown")
        return replace(
            info,
            config=self.settings.to_json(),
            concepts=self.lesson.concepts,
            training={**info.training, "fine_tunings": [*former, this]},
            # The parent's figures are not those of these weights.
            metrics={"fine_tuning": report},
            card={
                **info.card,
                "parent": self.parent.weights_hash,
                "licence": f"that of its parent ({parent_licence}), and of the masks it was "
                "fine-tuned on",
            },
            code_version=version("medprism"),
        )


class _Part:
    """Progress of one phase: it says its own name, and steps count only while learning."""

    def __init__(self, whole: Progress, done: int, total: int, name: str) -> None:
        self._whole, self._done, self._total, self._name = whole, done, total, name

    def report(self, done: int, total: int, message: str = "") -> None:
        shown = done if self._name == "learning" else self._done
        self._whole.report(shown, self._total, self._name)

    def is_cancelled(self) -> bool:
        return self._whole.is_cancelled()


class _NoLog:
    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Forget the figures."""


def _report(progress: Progress, done: int, total: int, message: str) -> None:
    if progress.is_cancelled():
        raise CancelledError("stopped before the first step; start it again")
    progress.report(done, total, message)


def _half(long_side: int) -> int:
    """Return the canvas of the first stage: half the side, if enough is left of it.

    >>> _half(256), _half(64)
    (128, 64)
    """
    half = long_side // 2 // MULTIPLE * MULTIPLE
    return half if half >= LEAST_SIDE else long_side


def _digest(store: SliceStore, number: int, label_ids: tuple[int, ...]) -> str:
    return hashlib.sha256(np.packbits(store.plane(number, label_ids)).tobytes()).hexdigest()
