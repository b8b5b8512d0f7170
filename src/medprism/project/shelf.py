"""Images of a project in memory: read once, least recently used ones are let go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.image import Image
from medprism.io.reader import read_image
from medprism.project.project import Project

BUDGET_BYTES: Final = 512 * 2**20
LARGEST_BYTES: Final = 4 * 2**30


class ImageShelf:
    """Reads images by number and keeps them while a budget of bytes lasts; threads may share it.

    The image used last is kept even if it is larger than the budget.
    """

    def __init__(self, project: Project, budget_bytes: int = BUDGET_BYTES) -> None:
        self._project = project
        self._budget = budget_bytes
        self._lock = threading.Lock()
        self._reading: dict[int, threading.Lock] = {}
        self._images: OrderedDict[int, Image] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Memory held by the images."""
        with self._lock:
            return sum(image.voxels.nbytes for image in self._images.values())

    def get(self, number: int) -> Image:
        """Return an image, read from its file if it is not at hand.

        The first reading notes size and content; a file that cannot be read makes the image broken.

        Raises:
            UnknownEntryError: there is no such image.
            ImageReadError: the file cannot be read, or is not the one that was annotated any more.
        """
        record = self._project.images.get(number)
        with self._lock:
            if number in self._images:
                self._images.move_to_end(number)
                return self._images[number]
            turn = self._reading.setdefault(number, threading.Lock())
        with turn:
            with self._lock:
                if number in self._images:
                    return self._images[number]
            path = self._project.images.path_of(record)
            try:
                image = read_image(path, record.part)
                if image.voxels.nbytes > LARGEST_BYTES:
                    raise ImageReadError(
                        f"it holds {image.voxels.nbytes / 2**30:.1f} GiB, the workbench takes up "
                        f"to {LARGEST_BYTES / 2**30:.0f}; crop or shrink it"
                    )
            except (ImageReadError, GeometryError) as error:
                reason = str(error).replace(str(path), record.name)
                self._project.images.set_state(number, "broken", reason)
                raise ImageReadError(reason) from error
            self._check_content(number, record.digest, image)
            self._keep(number, image)
            return image

    def forget(self, number: int) -> None:
        """Let an image go."""
        with self._lock:
            self._images.pop(number, None)

    def _check_content(self, number: int, digest: str | None, image: Image) -> None:
        if digest is not None and digest != image.digest and self._project.masks.of(number):
            raise ImageReadError(
                "the file of this image has changed since masks were accepted on it; put the old "
                "file back, or add the new one under another name"
            )
        if digest != image.digest or self._project.images.get(number).state == "broken":
            self._project.images.note_content(number, image)

    def _keep(self, number: int, image: Image) -> None:
        with self._lock:
            self._images[number] = image
            self._images.move_to_end(number)
            held = sum(one.voxels.nbytes for one in self._images.values())
            while held > self._budget and len(self._images) > 1:
                _, oldest = self._images.popitem(last=False)
                held -= oldest.voxels.nbytes
            self._reading.pop(number, None)
