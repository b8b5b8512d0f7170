"""What a shipped checkpoint was made by, kept with the results: command, data, settings, log.

    python -m benchmarks.training_record RUN [RUN ...]

RUNs are run folders in the order in which one went on from the other. For each, N-RECIPE.jsonl (its
log) and N-RECIPE.json (its record, with the command that starts it) are written into
docs/results/training/. Paths say where somebody worked: of the store's the name is kept, of the
checkpoint's its run.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from medprism.core.durable import read_json, write_bytes
from medprism.core.errors import ConfigError
from medprism.training.recipes import RECIPES
from medprism.training.run_record import FORMAT, RUN_FILE, VERSION

RESULTS: Final = Path(__file__).resolve().parents[1] / "docs" / "results" / "training"
LOG: Final = "log.jsonl"


def command_of(record: Mapping[str, Any]) -> str:
    """Return the command that starts a run like this one; STORE and the checkpoint are named only.

    >>> command_of({"recipe": "kprism-nano", "config": {"steps": 6, "seed": 7}, "synthetic": 0.25})
    'medprism train kprism-nano --store STORE --steps 6 --seed 7 --synthetic 0.25 --out RUN'
    """
    recipe, config = str(record["recipe"]), record["config"]
    words = ["medprism", "train", recipe, "--store", "STORE", "--steps", str(config["steps"])]
    if config["seed"] != RECIPES[recipe](1).seed:
        words += ["--seed", str(config["seed"])]
    if record.get("start"):
        words += ["--init", _in_its_run(record["start"])]
    for name, option in (("synthetic", "--synthetic"), ("task_change", "--task-change")):
        if record.get(name):
            words += [option, f"{record[name]:g}"]
    return shlex.join([*words, "--out", "RUN"])


def portable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its command first, and no place of somebody's machine."""
    start = record.get("start")
    return {
        "format": FORMAT,
        "version": VERSION,
        "command": command_of(record),
        **{key: value for key, value in record.items() if key not in ("format", "version")},
        "store": Path(record["store"]).name,
        "start": None if start is None else _in_its_run(start),
    }


def _in_its_run(path: str) -> str:
    """Return a checkpoint's path from the folder of its run on."""
    return "/".join(Path(path).parts[-2:])


def keep(run: Path, out: Path, number: int) -> Path:
    """Copy the log of a run and write its record; return the record's path.

    Raises:
        FormatVersionError: the folder holds no run.
        ConfigError: it has no log.
    """
    record = read_json(run / RUN_FILE, FORMAT, VERSION)
    if not (run / LOG).is_file():
        raise ConfigError(f"{run} has no {LOG}; give the folder that `medprism train` wrote to")
    stem = f"{number}-{record['recipe']}"
    shutil.copyfile(run / LOG, out / f"{stem}.jsonl")
    path = out / f"{stem}.json"
    write_bytes(path, (json.dumps(portable(record), indent=1) + "\n").encode())
    return path


def main(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, in order.")],
    out: Annotated[Path, typer.Option(help="Folder of logs and records.")] = RESULTS,
) -> None:
    """Keep what a checkpoint was made by."""
    for number, run in enumerate(runs, start=1):
        typer.echo(keep(run, out, number))


if __name__ == "__main__":
    typer.run(main)
