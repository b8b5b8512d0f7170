"""The tasks of the experiment, in one place: lesions, and structures that lie beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medprism.data.case import SPLITS
from medprism.data.diet import choose_diet
from medprism.data.store import SliceStore
from medprism.training.task_table import TaskChoice, choose_tasks


@dataclass(frozen=True)
class LesionTask:
    """A task by its name in the vocabulary, how its images are made, and what it is."""

    name: str
    modality: str
    description: str


LESIONS: Final = (
    LesionTask("polyp", "endoscopy", "polyps of the colon"),
    LesionTask("skin lesion", "dermoscopy", "naevi and melanomas"),
    LesionTask("breast lesion", "ultrasound, mammography", "masses, benign or malignant"),
    LesionTask("liver mass", "ultrasound", "focal masses of the liver"),
    LesionTask("foot ulcer", "photograph", "diabetic ulcers of the foot"),
    LesionTask("hard exudate", "fundus photograph", "lipid deposits of diabetic retinopathy"),
    LesionTask("brain tumour", "MRI", "the solid tumour, without the oedema around it"),
    LesionTask("multiple sclerosis lesion", "MRI (FLAIR)", "lesions of the white matter"),
    LesionTask("ischaemic core", "CT without contrast", "dead tissue of a stroke"),
    LesionTask("lung tumour", "CT", "non-small-cell tumours of the lung"),
)
# No lesions: structures on the same images as a lesion or as each other, for wrong tasks.
NEIGHBOURS: Final = (
    LesionTask("optic disc", "fundus photograph", "the head of the optic nerve"),
    LesionTask("liver", "CT", "the organ"),
    LesionTask("kidney", "CT, MRI", "the organ with its tumours"),
)
TASKS: Final = (*LESIONS, *NEIGHBOURS)


@dataclass(frozen=True)
class Pair:
    """Two tasks that are both to be seen on the same images, and the sets that label them."""

    tasks: tuple[str, str]
    datasets: tuple[str, ...]

    @property
    def name(self) -> str:
        """How the pair is called in results."""
        return " / ".join(self.tasks)


PAIRS: Final = (
    Pair(("optic disc", "hard exudate"), ("idrid_od", "idrid_hardex")),
    Pair(("liver", "kidney"), ("mt_curvas_abdomen_ct",)),
)


def names(tasks: Sequence[LesionTask] = TASKS) -> tuple[str, ...]:
    """Return the names, as `medprism train --tasks` takes them."""
    return tuple(task.name for task in tasks)


def choose(store: SliceStore, tasks: Sequence[str] = ()) -> TaskChoice:
    """Return the class table of some tasks (none: all of the experiment), and its sets.

    Raises:
        LabelError: the store has no set with a task of that name; near ones are listed.
        StoreError: a task without a training image.
    """
    return choose_tasks(choose_diet(store), tuple(tasks) or names(), None)


def count_rows(store: SliceStore, tasks: Sequence[LesionTask] = TASKS) -> list[list[str]]:
    """Return a table, header first: images of every split that show a task, and their patients."""
    chosen = choose(store, names(tasks))
    rows = []
    for task in tasks:
        own = chosen.concepts[chosen.concepts.row(task.name)]
        sources = {**own.label_ids, **chosen.partial.get(own.name, {})}
        cells = []
        for split in SPLITS:
            shown = [
                row
                for row in store.rows
                if row.split == split
                and row.role == "train"
                and any(label_id in row.areas for label_id in sources.get(row.dataset, ()))
            ]
            patients = {(row.dataset, row.patient or row.case_id) for row in shown}
            cells.append(f"{len(shown)} ({len(patients)})")
        rows.append([task.name, task.modality, task.description, *cells, ", ".join(sources)])
    header = ["task", "modality", "what it is", *(f"{split} (patients)" for split in SPLITS)]
    return [[*header, "sets"], *rows]
