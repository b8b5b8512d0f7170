"""The accepted masks of a project as a dataset that training reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from medprism.data.case import Case, DatasetInfo
from medprism.data.datasets.slices import planes_of
from medprism.data.piece import Piece
from medprism.project.annotating import Desk
from medprism.project.masks import Acceptance

NAME: Final = "accepted"


@dataclass(frozen=True, eq=False)
class AcceptedSet:
    """Images with what was accepted on them; a label id is the number of the label.

    Images are cases of their own. Slices of volumes on which nothing was accepted are left out.
    """

    desk: Desk
    accepted: Mapping[int, Sequence[Acceptance]]

    @property
    def info(self) -> DatasetInfo:
        """The labels that occur."""
        classes = {one.label: one.name for entries in self.accepted.values() for one in entries}
        return DatasetInfo(NAME, NAME, "train", None, dict(sorted(classes.items())))

    @property
    def split(self) -> Mapping[str, str]:
        """All to train; masks are held out later, by image."""
        return {_name(image): "train" for image in self.accepted}

    @property
    def num_pieces(self) -> int:
        """The number of images."""
        return len(self.accepted)

    def source_files(self) -> tuple[Path, ...]:
        """Return the files of the masks, whose names are never used twice."""
        return tuple(sorted(path for image in self.accepted for path in self._files(image)))

    def cases(self) -> Iterator[Case]:
        """Yield pictures, and the slices of volumes on which something was accepted."""
        for piece in self.pieces():
            yield from piece.read()

    def pieces(self) -> Iterator[Piece]:
        """Yield the images by number; nothing is read yet."""
        for image in sorted(self.accepted):
            yield Piece(_name(image), self._files(image), partial(self._read, image))

    def _files(self, image: int) -> tuple[Path, ...]:
        paths = (self.desk.project.masks.path_of(one) for one in self.accepted[image])
        return tuple(path for path in paths if path is not None)

    def _read(self, image: int) -> Iterator[Case]:
        content = self.desk.shelf.get(image)
        shape = content.geometry.shape
        stacks = {
            one.label: self.desk.project.masks.read(one, content).reshape(shape)
            for one in self.accepted[image]
        }
        last = max(1, content.num_slices - 1)
        for index in range(content.num_slices):
            planes = {
                label: plane
                for label, stack in stacks.items()
                for plane in planes_of(stack[index]).values()
            }
            if not planes and not content.is_planar:
                continue
            yield Case(
                dataset=NAME,
                case_id=_name(image) if content.is_planar else f"{_name(image)}_z{index:03d}",
                patient=None,
                split="train",
                role="train",
                image=content,
                masks=planes,
                modality=content.modality,
                slice_index=None if content.is_planar else index,
                relative_position=None if content.is_planar else index / last,
                plane=index,
            )


def _name(image: int) -> str:
    return f"{image:06d}"
