"""Images whose true masks nobody knows: fixed clicks, a class where one fits, and a correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medprism.apps.demo.desk import Desk, milliseconds_of
from medprism.apps.demo.row import Row
from medprism.apps.demo.samples import picture_of

# (row, col) and whether it is inside.
At = tuple[int, int, bool]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A file inside a package and where to click on it; `concept` is a class to ask for."""

    name: str
    what: str
    package: str
    parts: tuple[str, ...]
    structure: str
    clicks: tuple[At, ...]
    concept: str | None = None
    correction: At | None = None


SCENES: Final = (
    Scene(
        name="retina",
        what="retina photograph",
        package="skimage",
        parts=("data", "retina.jpg"),
        structure="disc",
        clicks=((660, 260, True), (660, 330, False)),
        concept="optic disc",
        correction=(660, 260, True),
    ),
    Scene(
        name="retina-vessels",
        what="retina photograph",
        package="skimage",
        parts=("data", "retina.jpg"),
        structure="vessel",
        clicks=((1196, 400, True), (1100, 700, False)),
        concept="retinal vessel",
        correction=(700, 700, False),
    ),
    Scene(
        name="microaneurysm",
        what="retina detail",
        package="skimage",
        parts=("data", "microaneurysms.png"),
        structure="microaneurysm",
        clicks=((22, 16, True), (40, 40, False)),
    ),
    Scene(
        name="colon",
        what="stained colon section",
        package="skimage",
        parts=("data", "ihc.png"),
        structure="gland",
        clicks=((408, 320, True), (300, 260, False), (470, 350, True)),
        concept="colorectal gland",
        correction=(408, 320, True),
    ),
    Scene(
        name="ct",
        what="chest CT",
        package="pydicom",
        parts=("data", "test_files", "CT_small.dcm"),
        structure="vertebral body",
        clicks=((22, 61, True), (52, 59, False), (100, 60, False)),
        concept="aorta",
        correction=(10, 92, True),
    ),
    Scene(
        name="mr",
        what="MRI detail",
        package="pydicom",
        parts=("data", "test_files", "MR_small.dcm"),
        structure="round structure",
        clicks=((36, 42, True), (20, 20, False)),
    ),
)


def segment_pictures(desk: Desk) -> None:
    """Segment every scene by its clicks; then by class, and with a click more, where one fits."""
    for scene in SCENES:
        desk.session.set_image(picture_of(scene.package, *scene.parts))
        spent = [desk.click(at[:2], at[2], scene.structure) for at in scene.clicks]
        desk.rows.append(
            Row(
                what=f"{scene.what}, {scene.structure}",
                knowledge="clicks",
                clicks=len(spent),
                milliseconds=sum(spent) / len(spent),
                file=desk.save(f"{scene.name}-by-clicks", scene.structure),
            )
        )
        if scene.concept is not None and desk.knows(scene.concept):
            _by_class(desk, scene, scene.concept)


def _by_class(desk: Desk, scene: Scene, concept: str) -> None:
    spent = milliseconds_of(lambda: desk.session.predict(classes=[concept]))
    desk.rows.append(_row(desk, scene, concept, spent, clicks=0))
    if scene.correction is not None:
        spent = desk.click(scene.correction[:2], scene.correction[2], concept)
        desk.rows.append(_row(desk, scene, concept, spent, clicks=1))


def _row(desk: Desk, scene: Scene, concept: str, milliseconds: float, *, clicks: int) -> Row:
    name = f"{scene.name}-by-class{'-refined' if clicks else ''}"
    presence = desk.session.presence(concept)
    return Row(
        what=f"{scene.what}, {concept} (presence {presence:.2f})",
        knowledge="class",
        clicks=clicks,
        milliseconds=milliseconds,
        file=desk.save(name, concept),
    )
