"""DICOM objects without who they are about: the basic confidentiality profile (PS3.15, Annex E).

Table E.1-1 comes from the package dicom-anonymizer, which generates it from the standard; what is
done with it is done here, since sequences must be cleaned in depth and references must still fit.
Where the table leaves a choice, what an object needs stays, with a value that says nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from medprism.core.errors import ConfigError
from medprism.io.segment_code import is_structure_name

Action = Literal["remove", "empty", "dummy", "uid", "inside"]

_TABLE: Final = "dicomfields_2026c"
# The columns of the table. "X/D" and the like: an element that is there may be one that the object
# must have, so it gets a dummy; "X/Z" is emptied; sequences of references are cleaned inside.
_ACTIONS: Final[Mapping[str, Action]] = {
    "X_TAGS": "remove",
    "Z_TAGS": "empty",
    "X_Z_TAGS": "empty",
    "D_TAGS": "dummy",
    "Z_D_TAGS": "dummy",
    "X_D_TAGS": "dummy",
    "X_Z_D_TAGS": "dummy",
    "U_TAGS": "uid",
    "X_Z_U_STAR_TAGS": "inside",
}
_DUMMIES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "ANONYMIZED"),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "http://anonymized.invalid",
    "OB": b"\0\0",
    "UN": b"\0\0",
}
# UIDs of the standard itself name nobody.
_STANDARD: Final = "1.2.840.10008."
_PATIENT: Final = ("PatientName", "PatientID")
_SHORTEST_KEY: Final = 16
_METHOD: Final = "DICOM PS3.15 Table E.1-1 (2026c), medprism"


@dataclass(frozen=True)
class Deidentifier:
    """Takes identity out of objects; with one key the same UID always gets the same new one.

    Without a key everything is different at every run, and nobody can find the way back. UIDs and
    patients are replaced by keyed hashes (HMAC-SHA256), so that masks of one run fit one another:
    a study remains a study, a patient a patient.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < _SHORTEST_KEY:
            raise ConfigError(
                f"a key of {len(self.key)} bytes can be guessed, and with it who a patient is; "
                f"give at least {_SHORTEST_KEY}, or none to have one made"
            )

    def uid(self, former: str) -> str:
        """Return the UID that stands for another one; UIDs of the standard are kept.

        >>> hidden = Deidentifier(b"a key of 20 letters.")
        >>> hidden.uid("1.2.3") == hidden.uid("1.2.3") != hidden.uid("1.2.4")
        True
        >>> hidden.uid("1.2.840.10008.1.4.1.1")
        '1.2.840.10008.1.4.1.1'
        """
        if not former or former.startswith(_STANDARD):
            return former
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', former)[:16], version=4).int}"

    def patient(self, former: str) -> str:
        """Return the name that stands for a patient's ID; nobody stays nobody.

        >>> Deidentifier(b"a key of 20 letters.").patient("")
        ''
        """
        return f"ANON-{self._digest('patient', former)[:6].hex()}" if former else ""

    def clean(self, dataset: Dataset) -> None:
        """Take identity out of an object and say so in it, as the standard asks."""
        pseudonym = self.patient(str(dataset.get("PatientID") or dataset.get("PatientName") or ""))
        done: set[int] = set()
        self._clean(dataset, done)
        for name in _PATIENT:
            if name in dataset:
                setattr(dataset, name, pseudonym)
        meta = getattr(dataset, "file_meta", None)
        if meta is not None:
            self._clean(meta, done)
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = _METHOD
        dataset.DeidentificationMethodCodeSequence = Sequence([_profile()])
        dataset.LongitudinalTemporalInformationModified = "REMOVED"

    def _clean(self, dataset: Dataset, done: set[int]) -> None:
        # Frames may share an item, and a UID replaced twice would fit nothing.
        if id(dataset) in done:
            return
        done.add(id(dataset))
        for element in list(dataset):
            action = action_of(int(element.tag))
            if action == "remove":
                del dataset[element.tag]
            elif element.keyword == "ROIName":
                # Emptied, contours would have lost what they are of.
                element.value = _plain_name(str(element.value), str(dataset.get("ROINumber", "")))
            elif action == "empty" or (action == "dummy" and element.VR == "SQ"):
                element.value = Sequence() if element.VR == "SQ" else None
            elif action == "uid":
                element.value = self._uids(element.value)
            elif action == "dummy":
                element.value = self._dummy(element)
            elif element.VR == "SQ":
                for item in element.value:
                    self._clean(item, done)

    def _dummy(self, element: Any) -> Any:  # noqa: ANN401 - pydicom's values are of any type
        if element.VR == "UI":
            return self._uids(element.value)
        return _DUMMIES.get(str(element.VR), 0)

    def _uids(self, value: Any) -> Any:  # noqa: ANN401 - one UID or several
        if value is None or isinstance(value, str):
            return self.uid(value or "")
        return [self.uid(str(one)) for one in value]

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self.key, f"{purpose}|{text}".encode(), hashlib.sha256)


def action_of(tag: int) -> Action | None:
    """Return what the profile asks for an element; private ones go, others may stay (None).

    >>> action_of(0x00100010), action_of(0x00091001), action_of(0x00280010)
    ('empty', 'remove', None)
    """
    single, repeating = _profile_table()
    group = tag >> 16
    if group % 2:
        return "remove"
    found = single.get(tag)
    if found is not None:
        return found
    return next((action for value, mask, action in repeating if tag & mask == value & mask), None)


@lru_cache(maxsize=1)
def _profile_table() -> tuple[dict[int, Action], list[tuple[int, int, Action]]]:
    """Return the action of every tag, and those of groups that repeat as value, mask, action."""
    # It imports more than a table: only those who hide something wait.
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    columns = dicom_anonymization_database_selector(_TABLE)
    single: dict[int, Action] = {}
    repeating: list[tuple[int, int, Action]] = []
    for column, action in _ACTIONS.items():
        for group, number, *mask in columns[column]:
            tag = (group << 16) + number
            if mask:
                repeating.append((tag, (mask[0] << 16) + mask[1], action))
            else:
                single[tag] = action
    return single, repeating


def _plain_name(name: str, number: str) -> str:
    return name if is_structure_name(name) else f"region {number}".strip()


def _profile() -> Dataset:
    code, item = codes.DCM.BasicApplicationConfidentialityProfile, Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
