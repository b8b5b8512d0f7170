"""The file dataset.json: what a folder says about itself, checked where it enters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medprism.core.errors import LabelError
from medprism.data.case import DatasetInfo

LabelId = Annotated[int, Field(ge=1, le=65535)]
# A slug names files, so it is one plain path component.
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]

WrittenSplit = dict[Literal["train", "val", "test"], list[str]]

_MODALITIES: Final = {
    "ct": "CT",
    "mri": "MR",
    "ultrasound": "US",
    "mammography": "MG",
    "x-ray": "DX",
}


class Description(BaseModel):
    """All members are optional; what is not listed here is ignored."""

    model_config = ConfigDict(frozen=True)

    slug: Slug | None = None
    name: str | None = None
    role: Literal["train", "external", "unseen", "samples"] = "train"
    modality: str | None = None
    classes: dict[LabelId, str] = {}
    patients: dict[str, str | None] = {}
    split: WrittenSplit | None = None
    licence: str | None = None
    redistributable: str | None = None
    citation: str | None = None
    notes: str | None = None

    def to_info(self, folder: str) -> DatasetInfo:
        """Return the part that stores keep; `folder` names a set without a slug."""
        name = self.slug or folder
        return DatasetInfo(
            name=name,
            title=self.name or name,
            role=self.role,
            modality=modality_code(self.modality or ""),
            classes=dict(self.classes),
            licence=self.licence,
            redistributable=self.redistributable,
            citation=self.citation,
            notes=self.notes or "",
        )


def read_description(path: Path) -> Description:
    """Read a dataset.json; a missing file describes nothing.

    Raises:
        LabelError: the file is damaged or one of its members has another form.
    """
    if not path.exists():
        return Description()
    try:
        return Description.model_validate_json(path.read_bytes())
    except OSError as error:
        raise LabelError(f"{path} cannot be read ({error.strerror}); mend or remove it") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise LabelError(
            f"{path.parent.name}/{path.name}: {where!r} is not usable ({first['msg']}); "
            "mend it or remove the file"
        ) from error


def modality_code(description: str) -> str | None:
    """Return the DICOM code for the first word of a description, or None for other pictures.

    >>> modality_code("MRI (cine)"), modality_code("dermoscopy")
    ('MR', None)
    """
    words = description.casefold().split()
    return _MODALITIES.get(words[0]) if words else None
