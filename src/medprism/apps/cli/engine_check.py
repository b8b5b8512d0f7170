"""What `medprism engines` does once its arguments are read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.data.store import SliceStore
from medprism.engines.engine import ENGINES, REFERENCE_ENGINE, available_engines
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.engines.verdict import (
    LEAST_DICE,
    Choice,
    Verdict,
    choose_engine,
    write_verdict,
)
from medprism.evaluation.engine_parity import check_engines, draw_cases


@dataclass(frozen=True, kw_only=True)
class CheckWish:
    """The arguments of `medprism engines check`, as typed."""

    store: Path
    model: str
    images: int
    split: str
    engines: str
    threads: int | None


def show_engines(model: str, threads: int | None, *, as_json: bool) -> str:
    """Return what runs here and what is taken for a model."""
    loaded = load(model, threads=threads)
    missing = {name: engine.missing() for name, engine in ENGINES.items()}
    if as_json:
        document = {
            "model": model,
            "engine": loaded.engine,
            "reason": loaded.engine_reason,
            "missing": missing,
        }
        return json.dumps(document, indent=1)
    lines = [
        f"{name:14} {ENGINES[name].purpose}" + (f" - not here: {lack}" if lack else "")
        for name, lack in missing.items()
    ]
    taken = f"taken for {model} with {loaded.threads} threads: {loaded.engine}"
    return "\n".join([*lines, f"{taken} ({loaded.engine_reason})"])


def carry_out(wish: CheckWish, *, as_json: bool) -> str:
    """Check, keep the verdict, and return what was found."""
    names = available_engines()
    if wish.engines:
        names = split_list(wish.engines, "--engines", tuple(ENGINES))
    store = SliceStore.open(wish.store)
    reference = load(wish.model, REFERENCE_ENGINE, wish.threads)

    def load_engine(name: str) -> LoadedModel:
        return reference if name == REFERENCE_ENGINE else load(wish.model, name)

    cases = draw_cases(store, reference.concepts, wish.images, split=wish.split)
    with progress_bar("engines") as bar:
        verdict = check_engines(load_engine, names, cases, bar, total=wish.images)
    path = write_verdict(verdict)
    choice = choose_engine(verdict.weights_hash, verdict.threads)
    if as_json:
        document = {**asdict(verdict), "engine": choice.engine, "reason": choice.reason}
        return json.dumps(document, indent=1)
    return "\n".join([*_table(verdict), "", *_outcome(choice, path)])


def _table(verdict: Verdict) -> list[str]:
    lines = [
        f"{verdict.images} images of {len(verdict.trials[0].dice_by_set)} sets, {verdict.clicks} "
        f"clicks each, {verdict.threads} threads; Dice with {REFERENCE_ENGINE}, worst set first",
        "| engine | ms a session | lowest Dice of a set | mean over sets | passes |",
        "|---|--:|--:|--:|---|",
    ]
    for one in verdict.trials:
        worst = min(one.dice_by_set, key=lambda name: one.dice_by_set[name])
        mean = sum(one.dice_by_set.values()) / len(one.dice_by_set)
        passes = "yes" if one.passes else f"no, below {LEAST_DICE}"
        lines.append(
            f"| {one.engine} | {one.milliseconds:.0f} | {one.least_dice:.4f} ({worst}) | "
            f"{mean:.4f} | {passes} |"
        )
    return lines


def _outcome(choice: Choice, path: Path) -> list[str]:
    return [f"--engine auto takes {choice.engine}: {choice.reason}", f"kept in {path}"]
