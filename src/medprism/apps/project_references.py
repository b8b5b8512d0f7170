"""The references of a workbench's project, for other programs than the workbench."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from medprism.core.errors import ReferencePairError
from medprism.inference.reference_bank import ReferenceBank
from medprism.project.annotating import reference_of
from medprism.project.project import DATABASE, HOME, Project
from medprism.project.shelf import ImageShelf


def holds_project(folder: Path) -> bool:
    """Say whether a folder of images has been annotated in the workbench."""
    return (folder / HOME / DATABASE).is_file()


def read_project_references(folder: Path) -> ReferenceBank:
    """Return the references in use of a project, by label.

    Raises:
        ProjectError: another program has the project open.
        ReferencePairError: nothing was made a reference.
        ImageReadError: an image cannot be read any more, or is another one.
    """
    with closing(Project(folder)) as project:
        shelf = ImageShelf(project)
        bank = ReferenceBank()
        for example in project.examples.find(only_active=True):
            bank = bank.add(example.label_name, reference_of(project, shelf, example))
    if not bank.labels:
        raise ReferencePairError(
            f"the project {folder} has no references; accept a mask in medprism annotate first"
        )
    return bank
