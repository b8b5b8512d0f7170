"""What a training run was started with, as a file: it never changes while the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.concepts import ConceptTable
from medprism.core.durable import read_json, write_json
from medprism.core.errors import FormatVersionError
from medprism.data.vocabulary import LabelIds
from medprism.training.config import TrainConfig
from medprism.training.loop import Schedule

FORMAT: Final = "medprism-run"
VERSION: Final = 1
RUN_FILE: Final = "run.json"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What `run.json` holds.

    `sets` are the training sets, `parts` names the content that each has in the store, `partial`
    the labels that are not exhaustive; `start` is the checkpoint the run began with, `trunk` the
    file that its trunk came from; `timing` is what was measured to turn minutes into steps.
    """

    recipe: str
    config: TrainConfig
    schedule: Schedule
    concepts: ConceptTable
    partial: Mapping[str, LabelIds]
    sets: tuple[str, ...]
    store: Path
    parts: Mapping[str, str]
    synthetic: float
    task_change: float
    start: str | None
    timing: Mapping[str, Any]
    trunk: str | None = None

    def save(self, folder: Path) -> None:
        """Write the record durably."""
        payload = {
            "recipe": self.recipe,
            "config": self.config.to_json(),
            "schedule": asdict(self.schedule),
            "concepts": self.concepts.to_json(),
            "partial": {name: dict(ids) for name, ids in self.partial.items()},
            "sets": list(self.sets),
            "store": str(self.store),
            "parts": dict(self.parts),
            "synthetic": self.synthetic,
            "task_change": self.task_change,
            "start": self.start,
            "timing": dict(self.timing),
            "trunk": self.trunk,
        }
        write_json(folder / RUN_FILE, FORMAT, VERSION, payload)

    @classmethod
    def load(cls, folder: Path) -> RunRecord:
        """Read the record of a run folder.

        Raises:
            FormatVersionError: there is none, or it is damaged or of a newer version.
        """
        path = folder / RUN_FILE
        payload = read_json(path, FORMAT, VERSION)
        try:
            return cls(
                recipe=payload["recipe"],
                config=TrainConfig.from_json(payload["config"]),
                schedule=Schedule(**payload["schedule"]),
                concepts=ConceptTable.from_json(payload["concepts"]),
                partial={
                    name: {dataset: tuple(numbers) for dataset, numbers in ids.items()}
                    for name, ids in payload["partial"].items()
                },
                sets=tuple(payload["sets"]),
                store=Path(payload["store"]),
                parts=payload["parts"],
                synthetic=payload["synthetic"],
                task_change=payload["task_change"],
                start=payload["start"],
                timing=payload["timing"],
                # Runs that began before there were trunks of others have none.
                trunk=payload.get("trunk"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatVersionError(
                f"{path} is damaged ({error}); start a new run folder"
            ) from error
