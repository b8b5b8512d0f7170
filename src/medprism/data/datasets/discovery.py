"""Find the datasets in what a user names: a dataset itself, or a folder that holds several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medprism.core.errors import ImageReadError
from medprism.data.datasets.adapters import ADAPTERS, named_set


def find_datasets(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the dataset folders: those named, and those directly inside the others, sorted.

    NAME=FOLDER, a published set in its official layout, is returned as it is.

    Raises:
        ImageReadError: a folder that is none and holds none.
        LabelError: there is no published set of that name.
    """
    found: list[Path] = []
    for folder in folders:
        if named_set(folder) is not None:
            found.append(folder)
            continue
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        sets = [folder] if _is_dataset(folder) else [one for one in inside if _is_dataset(one)]
        if not sets:
            raise ImageReadError(
                f"{folder} is no dataset and holds none; a dataset is a folder with one of the "
                f"subfolders {', '.join(ADAPTERS)}, or NAME=FOLDER for a published set (see: "
                "medprism data list)"
            )
        found.extend(sets)
    return tuple(dict.fromkeys(found))


def _is_dataset(folder: Path) -> bool:
    return any((folder / marker).is_dir() for marker in ADAPTERS)
