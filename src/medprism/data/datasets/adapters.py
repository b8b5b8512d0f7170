"""All dataset adapters, in one dict: what a folder looks like -> how to open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError
from medprism.data.case import Dataset
from medprism.data.datasets.folder import open_folder, open_volumes

ADAPTERS: Final[Mapping[str, Callable[[Path, Path], Dataset]]] = {
    "images": open_folder,
    "volumes": open_volumes,
}
"""Name of a subfolder that marks the layout -> adapter(folder, folder for drawn splits)."""


def open_dataset(folder: Path, splits: Path) -> Dataset:
    """Open a dataset folder with the adapter that its layout calls for.

    Raises:
        ImageReadError: no adapter knows the layout.
    """
    for marker, adapter in ADAPTERS.items():
        if (folder / marker).is_dir():
            return adapter(folder, splits)
    raise ImageReadError(
        f"{folder} has none of the subfolders {', '.join(ADAPTERS)}; a dataset needs one of them"
    )
