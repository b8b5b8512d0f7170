from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import InternalError, WriteError
from medprism.inference.outputs import Outputs, draw_overlay
from medprism.inference.session import Session
from medprism.io.reader import read_image, read_mask
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import SHAPE, scene, volume


def _session(image: np.ndarray) -> Session:
    session = Session(fake_model(), auto_zoom=False)
    session.set_image(image)
    return session


def test_mask_probability_and_overlay_lie_on_the_image(tmp_path: Path) -> None:
    session = _session(scene()[0])
    session.predict(classes=["liver", "polyp"])
    outputs = Outputs(
        mask=tmp_path / "m.png", probability=tmp_path / "p.nrrd", overlay=tmp_path / "o.png"
    )
    outputs.check(tmp_path / "image.png")
    written = outputs.write(session)
    assert dict(written.names) == {1: "liver", 2: "polyp"}
    assert (read_mask(tmp_path / "m.png").array == written.array).all()
    stored = read_image(tmp_path / "p-polyp.nrrd").voxels.squeeze()
    assert np.allclose(stored, session.probability("polyp"))
    assert read_image(tmp_path / "o.png").voxels.shape == (1, *SHAPE, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("m.png", "o.png", "p-liver.nrrd", "p-polyp.nrrd")
    ]


def test_one_label_keeps_the_name_of_the_probability_file(tmp_path: Path) -> None:
    session = _session(scene()[0])
    session.predict(classes=["liver"])
    Outputs(mask=tmp_path / "m.png", probability=tmp_path / "p.mha").write(session)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.png", "p.mha"]


def test_priority_decides_where_masks_overlap(tmp_path: Path) -> None:
    whole = np.ones(SHAPE, bool)
    for first in ("a", "b"):
        session = _session(scene()[0])
        for name in ("a", "b"):
            session.add_initial_seg_interaction(whole, label=name)
        written = Outputs(mask=tmp_path / "m.png", priority=(first,)).write(session)
        assert {written.names[number] for number in np.unique(written.array).tolist()} == {first}


def test_the_overlay_shows_the_slice_with_most_of_the_labels() -> None:
    images, masks = volume()
    session = _session(images)
    largest = int(masks["left kidney"].sum((1, 2)).argmax())
    session.add_initial_seg_interaction(masks["left kidney"], label="k")
    shown = draw_overlay(session).astype(int)
    change = np.abs(shown - images[largest][..., None]).sum(2) > 30
    assert change[masks["left kidney"][largest]].mean() > 0.9


def test_without_any_mask_it_shows_where_somebody_clicked() -> None:
    session = _session(np.full((4, *SHAPE), 7, np.uint8))
    session.add_point_interaction((3, 20, 30), False, label="x")
    assert not session.mask("x").any()
    red = draw_overlay(session)[20, 30]
    assert red[0] > 150 and red[1] < 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mask": "m.jpg"}, "m.jpg as .jpg .JPEG does not keep label numbers.; choose .png"),
        ({"probability": "p.png"}, "p.png: its suffix is not among .nii"),
        ({"overlay": "o.tif"}, "o.tif: its suffix is not among .png"),
        ({"mask": "none/m.png"}, "there is no folder"),
        ({"mask": "image.png"}, "is the image itself"),
        ({"overlay": "image.png"}, "is the image itself"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_work(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    (tmp_path / "image.png").touch()
    paths = {name: tmp_path / text for name, text in {"mask": "m.png", **changes}.items()}
    with pytest.raises(WriteError, match=said):
        Outputs(**paths).check(tmp_path / "image.png")  # type: ignore[arg-type]


def test_a_session_without_an_image_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="without an image"):
        draw_overlay(Session(fake_model()))
