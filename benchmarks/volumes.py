"""One good slice carried through a volume: `python -m benchmarks.volumes --data ../shared/data/3d`.

The middle slice of every structure gets its true mask, as if a person had corrected it; then
`propagate` fills the volume. Beside it, in the same run: with what was found on the neighbour as an
example besides; the same mask repeated on every slice that holds the structure (told by the truth,
so this baseline never stops wrong), or on all slices; and the model's answer per slice by that one
example, without a stop rule. Dice is that of the whole volume. Confidence is compared with the Dice
of its slice by rank, over the slices that hold the structure or were given some of it; the stop
rule is scored by slices left out and slices added at the ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from scipy.stats import spearmanr

from medprism.core.image import Image
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.inference.propagation import Propagation, propagate
from medprism.inference.session import Session
from medprism.io.reader import read_image
from medprism.metrics.dice import dice

LABEL: Final = "structure"
LEAST_SLICES: Final = 3
SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True)
class VolumeCase:
    """One structure of one volume."""

    dataset: str
    case: str
    structure: str
    image: Image
    truth: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What became of it; `rank` is None where confidence or Dice is the same on all slices.

    `missed` and `added` are slices at the ends that the stop rule lost or went too far.
    """

    dataset: str
    case: str
    structure: str
    slices: int
    propagated: float
    through_found: float
    per_slice: float
    repeated_inside: float
    repeated: float
    rank: float | None
    missed: int
    added: int
    seconds: float


def find_cases(folder: Path, split: str, limit: int | None) -> Iterator[VolumeCase]:
    """Yield every structure with at least three slices of the volumes of a split."""
    about = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    names = sorted(about["split"].get(split, ()))
    for name in names[:limit]:
        image = read_image(folder / "volumes" / f"{name}_img.nii.gz")
        labels = _labels(folder / "volumes" / f"{name}_seg.nii.gz", image)
        for number, structure in about["classes"].items():
            truth = labels == int(number)
            if np.count_nonzero(truth.any((1, 2))) >= LEAST_SLICES:
                yield VolumeCase(folder.name, name, structure, image, truth)


def _labels(path: Path, image: Image) -> np.ndarray:
    voxels = read_image(path).voxels[..., 0]
    if voxels.shape != image.voxels.shape[:3]:
        raise typer.BadParameter(f"{path} has another shape than its image")
    return np.asarray(voxels)


def examine(session: Session, scratch: Session, case: VolumeCase) -> Outcome:
    """Give the middle slice its true mask, propagate, and compare."""
    shown = np.flatnonzero(case.truth.any((1, 2)))
    source = int(shown[len(shown) // 2])
    session.set_image(case.image)
    session.add_initial_seg_interaction(case.truth[source], LABEL, slice_index=source)
    propagate(session, LABEL, through_found=True)
    chained = case.image.to_stack(session.mask(LABEL))
    session.undo()
    started = time.perf_counter()
    found = propagate(session, LABEL)
    seconds = time.perf_counter() - started
    carried = case.image.to_stack(session.mask(LABEL))
    shown_once = np.zeros_like(case.truth)
    shown_once[source] = case.truth[source]
    scratch.set_image(case.image)
    scratch.set_references([case.image], [case.image.from_stack(shown_once)], LABEL)
    scratch.predict(labels=[LABEL])
    alone = case.image.to_stack(scratch.mask(LABEL)).copy()
    alone[source] = case.truth[source]
    everywhere = np.broadcast_to(case.truth[source], case.truth.shape)
    inside = everywhere & case.truth.any((1, 2))[:, None, None]
    return Outcome(
        dataset=case.dataset,
        case=case.case,
        structure=case.structure,
        slices=len(shown),
        propagated=dice(carried, case.truth),
        through_found=dice(chained, case.truth),
        per_slice=dice(alone, case.truth),
        repeated_inside=dice(inside, case.truth),
        repeated=dice(np.ascontiguousarray(everywhere), case.truth),
        rank=_rank(found, carried, case.truth),
        missed=int(np.count_nonzero((shown < found.first) | (shown > found.last))),
        added=max(0, int(shown[0]) - found.first) + max(0, found.last - int(shown[-1])),
        seconds=round(seconds, 3),
    )


def _rank(found: Propagation, carried: np.ndarray, truth: np.ndarray) -> float | None:
    """Return Spearman's correlation of confidence and Dice over the slices that matter."""
    matter = [
        index
        for index in range(len(truth))
        if index not in found.sources and (truth[index].any() or carried[index].any())
    ]
    confidence = [found.confidence[index] for index in matter]
    values = [dice(carried[index], truth[index]) for index in matter]
    if len(matter) < LEAST_SLICES or len(set(confidence)) == 1 or len(set(values)) == 1:
        return None
    return round(float(spearmanr(confidence, values).statistic), 4)


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return a row a set and one over all structures of all sets, the mean of the sets' rows."""
    names = list(dict.fromkeys(one.dataset for one in outcomes))
    rows = [_row(name, [one for one in outcomes if one.dataset == name]) for name in names]
    figures = [key for key in rows[0] if key not in ("dataset", "structures")]
    means: dict[str, object] = {}
    for key in figures:
        known = [float(str(row[key])) for row in rows if row[key] is not None]
        means[key] = round(float(np.mean(known)), 4) if known else None
    return [*rows, {"dataset": "mean of sets", "structures": len(outcomes), **means}]


def _row(name: str, outcomes: Sequence[Outcome]) -> dict[str, object]:
    ranks = [one.rank for one in outcomes if one.rank is not None]
    means = {
        key: round(float(np.mean([getattr(one, key) for one in outcomes])), 4)
        for key in ("propagated", "through_found", "per_slice", "repeated_inside", "repeated")
    }
    return {
        "dataset": name,
        "structures": len(outcomes),
        **means,
        "rank": round(float(np.mean(ranks)), 4) if ranks else None,
        "missed": round(float(np.mean([one.missed / one.slices for one in outcomes])), 4),
        "added": round(float(np.mean([one.added / one.slices for one in outcomes])), 4),
        "seconds": round(float(np.mean([one.seconds for one in outcomes])), 2),
    }


def measure(model: LoadedModel, cases: Iterator[VolumeCase]) -> list[Outcome]:
    """Examine all cases with two sessions of one model."""
    session, scratch = Session(model), Session(model)
    outcomes = []
    for case in cases:
        outcomes.append(examine(session, scratch, case))
        one = outcomes[-1]
        typer.echo(f"{one.dataset} {one.case} {one.structure}: {one.propagated:.3f}", err=True)
    return outcomes


_HEAD: Final = (
    "| set | structures | propagated | through found slices | per slice | repeated where it is | "
    "repeated | rank of confidence | slices missed | slices added | s |"
)


def main(
    data: Annotated[Path, typer.Option(help="Folder of sets of volumes.")],
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    engine: Annotated[str, typer.Option(help="Engine.")] = "auto",
    sets: Annotated[str, typer.Option(help="Only these sets.")] = "",
    split: Annotated[str, typer.Option(help="Which volumes.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Volumes a set at most.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print Dice of propagation beside its baselines, and how well it knows where it is wrong."""
    if split not in SPLITS:
        raise typer.BadParameter(f"split {split!r} is none of {', '.join(SPLITS)}")
    chosen = [one for one in sets.split(",") if one]
    folders = [
        path.parent
        for path in sorted(data.glob("*/dataset.json"))
        if not chosen or path.parent.name in chosen
    ]
    loaded = load(model, engine=engine)
    outcomes = measure(loaded, (c for f in folders for c in find_cases(f, split, limit)))
    if not outcomes:
        raise typer.BadParameter(f"no structure in the {split} volumes of {data}")
    rows = summarise(outcomes)
    if as_json:
        document = {
            "weights": loaded.weights_hash,
            "engine": loaded.engine,
            "rows": rows,
            "outcomes": [asdict(one) for one in outcomes],
        }
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(f"weights {loaded.weights_hash[:12]}, engine {loaded.engine}, {split} volumes\n")
    typer.echo(f"{_HEAD}\n|---|{'--:|' * 10}")
    for row in rows:
        typer.echo("| " + " | ".join("-" if v is None else str(v) for v in row.values()) + " |")


if __name__ == "__main__":
    typer.run(main)
