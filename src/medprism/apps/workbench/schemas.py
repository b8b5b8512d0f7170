"""What clients send, checked; docs/server.md shows what comes back."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

_LARGEST = 10**7

Entry = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[
    str, Field(min_length=1, max_length=100, description="Name of a label.", examples=["liver"])
]
SliceIndex = Annotated[
    int, Field(ge=0, lt=_LARGEST, description="Slice, from 0; 0 for a picture.", examples=[0])
]
Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
Points = Annotated[
    list[tuple[Number, Number]],
    Field(
        min_length=1,
        max_length=20_000,
        description="Points (row, col).",
        examples=[[[10, 20], [12, 28]]],
    ),
]


class Body(BaseModel):
    """A body that holds these fields and no others."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Login(Body):
    """The token, to be kept in a cookie."""

    token: str = Field(max_length=500, description="The token that was printed at the start.")


class SettingsChange(Body):
    """Settings of the project; what is left out stays."""

    presegment_next: bool | None = Field(None, description="Segment the next image ahead.")
    order: Literal["list", "uncertain"] | None = Field(None, description="Which image is next.")
    references_used: int | None = Field(None, ge=1, le=16, description="References at once.")
    score_on_accept: bool | None = Field(None, description="Judge references as they come.")


class NewLabel(Body):
    """A label to make."""

    name: Name
    colour: tuple[int, int, int] | None = Field(
        None, description="Red, green, blue; 0 to 255.", examples=[[230, 159, 0]]
    )


class LabelChange(Body):
    """Another name or colour for a label."""

    name: Name | None = None
    colour: tuple[int, int, int] | None = Field(None, examples=[[86, 180, 233]])


class OpenImage(Body):
    """An image to work on."""

    image: Entry = Field(description="Number of the image.", examples=[3])
    presegment: bool = Field(False, description="Predict what the project knows at once.")
    take_over: bool = Field(False, description="End another person's session on it.")
    in_background: bool = Field(
        False, description="Let a volume be predicted by the job that the state names."
    )


class Runs(Body):
    """A mask as lengths of alternating runs in row order, beginning with background."""

    shape: tuple[int, int] = Field(description="Height and width.", examples=[[88, 124]])
    runs: list[Annotated[int, Field(ge=0)]] = Field(max_length=4_000_000)


class PointPrompt(Body):
    """A click: by row and col, or by a position in millimetres (RAS+)."""

    kind: Literal["point"]
    label: Name
    row: Number | None = Field(None, examples=[120])
    col: Number | None = Field(None, examples=[88])
    world: tuple[Number, Number, Number] | None = None
    slice: SliceIndex = 0
    is_positive: bool = True
    predict: bool = True


class BoxPrompt(Body):
    """A box around the structure; half open."""

    kind: Literal["box"]
    label: Name
    top: Number
    left: Number
    bottom: Number
    right: Number
    slice: SliceIndex = 0
    is_positive: bool = True
    predict: bool = True


class DrawnPrompt(Body):
    """Something drawn: as points, or as the mask of its pixels."""

    kind: Literal["scribble", "lasso", "brush", "eraser"]
    label: Name
    points: Points | None = None
    mask: Runs | None = None
    radius: float = Field(2.0, ge=0, le=1000, allow_inf_nan=False, description="In pixels.")
    slice: SliceIndex = 0
    is_positive: bool = True
    predict: bool = True

    @model_validator(mode="after")
    def has_one_form(self) -> DrawnPrompt:
        """Refuse a drawing that is given twice or not at all."""
        if (self.points is None) == (self.mask is None):
            raise ValueError("give either points or mask")
        return self


class MaskPrompt(Body):
    """A mask to go on from."""

    kind: Literal["mask"]
    label: Name
    mask: Runs
    slice: SliceIndex = 0


Prompt: TypeAlias = PointPrompt | BoxPrompt | DrawnPrompt | MaskPrompt
PromptBody = Annotated[
    Prompt,
    Field(
        discriminator="kind",
        examples=[{"kind": "point", "label": "liver", "row": 120, "col": 88, "is_positive": True}],
    ),
]


class PredictBody(Body):
    """What to predict; with neither, everything that something is known about."""

    classes: list[Name] | None = Field(None, max_length=200, examples=[["liver"]])
    labels: list[Name] | None = Field(None, max_length=200)
    slice: SliceIndex = 0


class KnowledgeBody(Body):
    """Which references a label starts from."""

    label: Name
    use: Literal["references", "nothing"]
    references: list[Entry] | None = Field(
        None, max_length=16, description="These references; without it those the project chooses."
    )
    predict: bool = Field(True, description="Predict at once, on all slices.")
    slice: SliceIndex = 0


class SliceBody(Body):
    """The slice whose masks are wanted back."""

    slice: SliceIndex = 0


class LockBody(Body):
    """A label to lock or to unlock."""

    label: Name
    is_locked: bool
    slice: SliceIndex = 0


class AcceptBody(Body):
    """What a person accepts."""

    labels: list[Name] | None = Field(
        None, max_length=200, description="Without it all labels that have a mask."
    )
    absent: list[Name] = Field([], max_length=200, description="Not on this image.")
    as_reference: bool = Field(True, description="Let the masks be references.")
    finish: bool = Field(True, description="The image is done.")


class SkipBody(Body):
    """Why an image is skipped."""

    reason: str = Field("", max_length=500, examples=["motion blur"])


class NextBody(Body):
    """Which image is next."""

    order: Literal["list", "uncertain"] | None = None
    in_background: bool = Field(
        False, description="Let a volume be predicted by the job that the state names."
    )


class PropagateBody(Body):
    """A label to carry through the volume."""

    label: Name
    sources: list[SliceIndex] = Field([], max_length=10_000)


class NewReference(Body):
    """An accepted mask to make a reference."""

    image: Entry
    label: Name


class ReferenceChange(Body):
    """Whether a reference is used."""

    is_active: bool


class PresegmentJob(Body):
    """Segment images with what the project knows."""

    kind: Literal["presegment"]
    images: list[Entry] | None = Field(
        None, max_length=1_000_000, description="Without it all that nobody began."
    )


class ScoreJob(Body):
    """Judge references by leaving each out."""

    kind: Literal["score"]
    label: Name | None = None


class ExportJob(Body):
    """Write accepted masks, and logs, into one ZIP."""

    kind: Literal["export"]
    format: str = Field("nifti", max_length=40, examples=["nifti", "coco"])
    logs: bool | None = Field(
        None, description="Prompt logs too; without it, unless it is deidentified."
    )
    deidentify: bool = Field(False, description="Do not say who the images are of.")

    @model_validator(mode="after")
    def keeps_its_promise(self) -> ExportJob:
        """Decide on logs; refuse those that name files and people where nobody may be named."""
        if self.logs is None:
            self.logs = not self.deidentify
        if self.logs and self.deidentify:
            raise ValueError("a prompt log names files and people; leave the logs out")
        return self


class TrainingJob(Body):
    """Train a class on the accepted masks of a label, for minutes (default 2) or steps."""

    kind: Literal["training"]
    label: Name
    minutes: float | None = Field(None, gt=0, le=240, allow_inf_nan=False, examples=[2])
    steps: int | None = Field(None, ge=1, le=100_000)
    checkpoint: Entry | None = Field(
        None, description="Checkpoint to begin with, 0: the base model; without it the one in use."
    )
    use: bool = Field(True, description="Use the new checkpoint once it is there.")

    @model_validator(mode="after")
    def has_one_length(self) -> TrainingJob:
        """Refuse a length that is given twice."""
        if self.minutes is not None and self.steps is not None:
            raise ValueError("give either minutes or steps")
        return self


JobBody = Annotated[
    PresegmentJob | ScoreJob | ExportJob | TrainingJob,
    Field(discriminator="kind", examples=[{"kind": "export", "format": "nifti", "logs": True}]),
]
