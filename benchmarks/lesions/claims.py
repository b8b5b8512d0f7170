"""What the paper says, beside what was measured: every claim holds, fails or is undecided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.lesions.figures import CHECKPOINT, WRONG_LIMIT, verdict
from benchmarks.lesions.methods import REFERENCE

HOLDS: Final = "holds"
FAILS: Final = "fails"
UNDECIDED: Final = "undecided"
_OF_DIFFERENCE: Final = {"higher": HOLDS, "lower": FAILS, "undecided": UNDECIDED}


@dataclass(frozen=True)
class Claim:
    """One method above another in Dice; `words` say it as the paper would."""

    words: str
    better: str
    worse: str


COMPARED: Final = (
    Claim("one TP-Seg for all tasks is above one for each", REFERENCE, "tpseg-per-task"),
    Claim("TP-Seg is above SAM2-UNet", REFERENCE, "sam2-unet"),
    Claim("TP-Seg is above Spider", REFERENCE, "spider"),
    Claim("TP-Seg is above one UNet", REFERENCE, "unet"),
    Claim("without tasks inside, one model loses to one for each task", "unet-per-task", "unet"),
    Claim("two paths are above shared adapters alone", REFERENCE, "tpseg-shared"),
    Claim("two paths are above task adapters alone", REFERENCE, "tpseg-task"),
    Claim("averaged prototypes are above learned ones", REFERENCE, "tpseg-learned"),
    Claim("prototypes that masks move are above random ones", REFERENCE, "tpseg-frozen"),
)


@dataclass(frozen=True)
class Judged:
    """A claim, the run or length it was measured in, what was found, and the judgement."""

    words: str
    where: str
    found: str
    judgement: str


def judge(summary: Mapping[str, Any]) -> list[Judged]:
    """Return every claim of which something is measured."""
    return [
        *_compared(summary.get("comparisons", [])),
        *_wrong_tasks(summary.get("runs", {})),
        *_interference(summary.get("gradients", {})),
    ]


def _compared(comparisons: list[Mapping[str, Any]]) -> Iterator[Judged]:
    for claim in COMPARED:
        for one in comparisons:
            if (one["first"], one["second"]) == (claim.better, claim.worse):
                mean, low, high = one["dice"]
                within = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
                judgement = _OF_DIFFERENCE[verdict(one["dice"])]
                yield Judged(claim.words, one["length"], f"Dice {mean:+.3f}{within}", judgement)


def _wrong_tasks(runs: Mapping[str, Any]) -> Iterator[Judged]:
    for name, run in runs.items():
        if name.partition("@")[0] in (REFERENCE, CHECKPOINT) and run["wrong"]:
            passed = sum(one["holds"] for one in run["wrong"])
            whole = len(run["wrong"])
            yield Judged(
                f"a wrong task finds less than {WRONG_LIMIT:.2f} of the other structure",
                name,
                f"{passed} of {whole}",
                HOLDS if passed == whole else FAILS,
            )


def _interference(gradients: Mapping[str, Any]) -> Iterator[Judged]:
    for name, dual in gradients.items():
        method, _, length = name.partition("@")
        shared = gradients.get(f"tpseg-shared@{length}")
        if method != REFERENCE or shared is None:
            continue
        for part in [part for part in dual if part in shared]:
            cosines = shared[part]["across"], dual[part]["across"]
            yield Judged(
                f"two paths take tasks out of each other's way: {part}",
                length,
                f"cosine {cosines[0]:.3f} shared, {cosines[1]:.3f} dual",
                HOLDS if cosines[1] > cosines[0] else FAILS,
            )
