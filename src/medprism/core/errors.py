"""One tree of errors; every message names the value, the rule and the way out.

MedprismError            the user can mend it: exit status 2
ConfigError            a setting outside its range
ImageReadError         a file that cannot be read as an image or mask
GeometryError          image and mask (or two volumes) do not lie on the same grid
PromptError            a click, box, scribble or lasso outside the image or of the wrong shape
LabelError             an unknown class, label or concept
ReferencePairError     a reference that cannot serve as an example
CheckpointError        a file that is not, or not wholly, a checkpoint of the expected kind
StoreError             a slice store that is missing, locked or of another version
FormatVersionError     a file written by a newer version
ProjectError           an annotation project that is open elsewhere, missing or damaged
  UnknownEntryError    no such image, label, reference, job or session
  ConflictError        the state of the project does not allow it
  InUseError           another person works on the image
  ExpiredError         a session has ended
  OutsideError         a path that leads out of the project
  FullError            no more sessions can be opened
LostProcessError       another process of the same run has ended
CancelledError         long work was stopped on request
WriteError             a file could not be written (disk full, no permission)
InternalError            our own mistake: exit status 1
"""

from __future__ import annotations


class MedprismError(Exception):
    """Root of all errors that a user can mend; the message is one sentence for people."""

    exit_status = 2


class ConfigError(MedprismError):
    """A setting lies outside its range or contradicts another one."""


class ImageReadError(MedprismError):
    """A file cannot be read as an image or a mask."""


class GeometryError(MedprismError):
    """Two arrays that should share a grid do not."""


class PromptError(MedprismError):
    """A click, box, scribble or lasso cannot be used on this image."""


class LabelError(MedprismError):
    """A class, label or concept is unknown, or a name is not usable."""


class ReferencePairError(MedprismError):
    """An image and mask pair cannot serve as a reference."""


class CheckpointError(MedprismError):
    """A checkpoint is missing, truncated, of another model or not a checkpoint at all."""


class StoreError(MedprismError):
    """A slice store is missing, locked by another process or damaged."""


class FormatVersionError(MedprismError):
    """A file was written by a newer version of medprism."""


class ProjectError(MedprismError):
    """An annotation project is open in another program, missing or damaged."""


class UnknownEntryError(ProjectError):
    """The project has no such image, label, reference, job or session."""


class ConflictError(ProjectError):
    """The state of the project does not allow what was asked for."""


class InUseError(ProjectError):
    """Another person works on the image: `author`, since when and until when (ISO 8601, UTC)."""

    def __init__(self, message: str, *, author: str, since: str, until: str) -> None:
        super().__init__(message)
        self.author = author
        self.since = since
        self.until = until


class ExpiredError(ProjectError):
    """A session has ended; the image can be opened again."""


class OutsideError(ProjectError):
    """A path leads out of the project."""


class FullError(ProjectError):
    """As many sessions are open as the server takes."""


class LostProcessError(MedprismError):
    """Another process of the same run has ended; what was saved before is whole."""


class CancelledError(MedprismError):
    """Long work was stopped on request; nothing was changed."""


class WriteError(MedprismError):
    """A file could not be written; the target is left as it was."""


class InternalError(Exception):
    """An invariant of ours does not hold: a bug, not the user's mistake."""

    exit_status = 1
