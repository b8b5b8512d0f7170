"""MONAI Label's own client talks to our server."""

from __future__ import annotations

import importlib
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medprism.engines.loaded import LoadedModel
from medprism.io.reader import read_image, read_mask
from medprism.metrics.dice import dice
from tests.apps.workbench.conftest import SETTINGS, TOKEN, VOLUME, Desk, Live, Serve
from tests.apps.workbench.training_desk import EASY, accept_phantoms, knowing, phantoms
from tests.inference.phantom import scene, volume
from tests.io.dicom_scene import series
from tests.training.taught_nano import NEW

__all__ = ["knowing", "phantoms"]

# The client leaves connections and files for the garbage collector to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MASKS = volume()[1]


def _module() -> Any:  # noqa: ANN401
    """Return the client's module, which uses a module that Python 3.13 has not any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("monailabel.client.client")
        except ImportError as error:
            pytest.skip(f"the client of monailabel cannot be used here: {error}")


def _client(live: Live, folder: Path, name: str = "Ada") -> Any:  # noqa: ANN401
    client = _module().MONAILabelClient(live.address, tmpdir=str(folder), client_id=name)
    assert client.auth_enabled()
    client.update_auth(client.auth_token("anybody", TOKEN))
    assert client.auth_valid_token()
    return client


@pytest.fixture
def client(live: Live, tmp_path: Path) -> Any:  # noqa: ANN401
    return _client(live, tmp_path)


def _label(path: Path, planes: dict[int, np.ndarray]) -> str:
    """Write a label map as other programs do: numbers without names."""
    numbers = np.zeros(MASKS["liver"].shape, np.uint8)
    for number, plane in planes.items():
        numbers[plane] = number
    image = nib.Nifti1Image(numbers.transpose(2, 1, 0), np.diag([0.8, 0.9, 4.0, 1.0]))
    nib.save(image, path)
    return str(path)


def test_sign_in_with_the_token_as_password(live: Live, tmp_path: Path) -> None:
    module = _module()
    client = module.MONAILabelClient(live.address, tmpdir=str(tmp_path))
    with pytest.raises(module.MONAILabelClientException) as refused:
        client.auth_token("anybody", "wrong")
    assert refused.value.status_code == 401
    assert not client.auth_valid_token()
    with pytest.raises(module.MONAILabelClientException):
        client.info()
    _client(live, tmp_path)


def test_a_server_without_token_needs_no_sign_in(serve: Serve, tmp_path: Path) -> None:
    live = serve(token=None)
    client = _module().MONAILabelClient(live.address, tmpdir=str(tmp_path))
    assert not client.auth_enabled()
    assert client.info()["name"] == "medprism"


def test_info_lists_models_labels_and_counts(client: Any) -> None:  # noqa: ANN401
    info = client.info()
    assert set(info["models"]) == {"classes", "references", "points"}
    assert info["models"]["classes"]["labels"]["liver"] == 1
    assert info["models"]["points"]["type"] == "deepgrow"
    assert "uncertain" in info["strategies"] and list(info["trainers"]) == ["classes"]
    assert info["datastore"]["total"] == VOLUME


def test_classes_come_back_as_a_label_map_on_the_images_grid(
    client: Any,  # noqa: ANN401
    live: Live,
) -> None:
    path, params = client.infer("classes", "scan.nii.gz", {"label": ["liver", "left kidney"]})
    image = read_image(live.project.root / "scan.nii.gz")
    found = read_mask(path, like=image).to_labels()
    assert dice(found["liver"], MASKS["liver"]) > 0.8
    assert params["label_names"] == {"liver": 1, "left kidney": 2}
    assert params["presence"]["liver"] > 0.9


def test_clicks_are_voxels_of_the_file(client: Any, live: Live) -> None:  # noqa: ANN401
    params = {"foreground": [[33, 30, 1]], "background": [[90, 20, 1]], "label": "thing"}
    path, _ = client.infer("points", "scan.nii.gz", params)
    image = read_image(live.project.root / "scan.nii.gz")
    found = read_mask(path, like=image).to_labels()["thing"]
    assert dice(found[1], MASKS["liver"][1]) > 0.8
    assert not found[[0, 2, 3, 4]].any()
    path, _ = client.infer("points", "0.png", {"foreground": [[75, 65]]})
    assert read_mask(path).array[65, 75] == 1


def test_a_mask_is_accepted_and_serves_as_reference(
    client: Any,  # noqa: ANN401
    live: Live,
    tmp_path: Path,
) -> None:
    label = _label(tmp_path / "mine.nii.gz", {1: MASKS["liver"], 2: MASKS["polyp"]})
    params = {"label_info": [{"name": "my liver", "idx": 1}, {"name": "my polyp", "idx": 2}]}
    saved = client.save_label("scan.nii.gz", label, params=params)
    assert saved["label"] == "scan.nii.gz"
    assert {one["name"] for one in saved["accepted"]} == {"my liver", "my polyp"}
    (liver, polyp) = live.project.masks.of(VOLUME)
    like = live.bench.desk.shelf.get(VOLUME)
    assert np.array_equal(live.project.masks.read(liver, like), MASKS["liver"])
    assert np.array_equal(live.project.masks.read(polyp, like), MASKS["polyp"])
    assert liver.author == "Ada"
    downloaded = read_mask(client.download_label("scan.nii.gz", "final"), like=like).to_labels()
    assert np.array_equal(downloaded["my polyp"], MASKS["polyp"])
    path, _ = client.infer("references", "0.png", {"label": "my liver"})
    assert dice(read_mask(path).array > 0, scene(0)[1]["liver"]) > 0.8
    store = client.datastore()
    told = store["objects"]["scan.nii.gz"]["labels"]["final"]["info"]["accepted"]
    assert {one["author"] for one in told} == {"Ada"}
    assert client.info()["datastore"]["completed"] == 1


def test_a_mask_on_an_image_that_somebody_works_on_is_refused(
    client: Any,  # noqa: ANN401
    live: Live,
    tmp_path: Path,
) -> None:
    module = _module()
    desk = Desk(live.client, "Grace")
    session = desk.open(VOLUME)
    desk.click(session, 30, 33, slice=1)
    label = _label(tmp_path / "a.nii.gz", {1: MASKS["liver"]})
    with pytest.raises(module.MONAILabelClientException) as refused:
        client.save_label("scan.nii.gz", label, params={"label_info": [{"name": "x", "idx": 1}]})
    assert "Grace works on this image" in refused.value.msg
    desk.ask("DELETE", session, 204)
    client.save_label("scan.nii.gz", label, params={"label_info": [{"name": "x", "idx": 1}]})
    # The next session starts from what was submitted, and the older log is kept aside.
    state = desk.post("/api/sessions", {"image": VOLUME}, 201)
    assert [(one["name"], one["is_locked"]) for one in state["labels"]] == [("x", True)]
    names = [path.name for path in (live.project.home / "work").iterdir()]
    assert any("unreadable" in name for name in names)


def test_images_are_uploaded_found_and_segmented(
    client: Any,  # noqa: ANN401
    live: Live,
    tmp_path: Path,
) -> None:
    source = live.project.root / "scan.nii.gz"
    added = client.upload_image(str(source), "patient-7")
    assert added == {"image": "patient-7.nii.gz"}
    path, _ = client.infer("classes", "patient-7.nii.gz", {"label": "liver"})
    assert dice(read_mask(path).array > 0, MASKS["liver"]) > 0.8
    desk = Desk(live.client)
    assert desk.get("/datastore/image?image=patient-7.nii.gz").content == source.read_bytes()
    desk.ask("HEAD", "/datastore/image?image=patient-7.nii.gz")
    desk.ask("HEAD", "/datastore/image?image=nobody", 404)
    path, _ = client.infer("classes", "", {"label": "liver"}, file=str(source))
    assert dice(read_mask(path).array > 0, MASKS["liver"]) > 0.8
    desk.ask("DELETE", "/datastore/image?id=patient-7.nii.gz")
    desk.get("/datastore/image/info?image=patient-7.nii.gz", 404)


def test_uploads_for_inference_alone(live: Live, tmp_path: Path) -> None:
    # The client puts the length of its last body into all later requests, so it is new each time.
    source = str(live.project.root / "scan.nii.gz")
    found = _client(live, tmp_path).create_session(source)
    name = found["session_id"]
    path, _ = _client(live, tmp_path).infer("classes", "", {"label": "liver"}, session_id=name)
    assert dice(read_mask(path).array > 0, MASKS["liver"]) > 0.8
    fresh = _client(live, tmp_path)
    assert fresh.get_session(name)["name"] == "scan.nii.gz"
    assert live.project.images.count() == VOLUME
    fresh.remove_session(name)
    with pytest.raises(_module().MONAILabelClientException):
        fresh.get_session(name)
    with pytest.raises(_module().MONAILabelClientException):
        _client(live, tmp_path).create_session(__file__)


def test_active_learning_names_the_image_to_go_on_with(client: Any, live: Live) -> None:  # noqa: ANN401
    live.project.images.note_presegmentation(3, 0.7)
    assert client.next_sample("uncertain", {})["id"] == "2.png"
    assert client.next_sample("first", {"anything": 1})["id"] == "0.png"
    drawn = client.next_sample("random", {})["id"]
    assert drawn == client.next_sample("random", {})["id"]
    for image in range(1, VOLUME + 1):
        live.project.images.set_state(image, "skipped")
    assert client.next_sample("first", {}) == {} == client.next_sample("random", {})
    with pytest.raises(_module().MONAILabelClientException):
        client.next_sample("by star sign", {})


def test_training_wants_masks_and_says_whether_it_runs(client: Any) -> None:  # noqa: ANN401
    module = _module()
    assert client.train_status(check_if_running=True) is False
    for act, status in (
        (lambda: client.train_start("classes", {}), 409),
        (lambda: client.train_start("points", {}), 404),
        (lambda: client.train_start("classes", {"label": 7}), 422),
        (lambda: client.train_start("classes", {"label": "x", "minutes": -1}), 422),
        (client.train_stop, 404),
        (client.train_status, 404),
    ):
        with pytest.raises(module.MONAILabelClientException) as refused:
            act()
        assert f"Status: {status}" in refused.value.msg


def test_a_class_is_trained_and_the_training_stopped(
    phantoms: Path, knowing: LoadedModel, tmp_path: Path
) -> None:
    live = Live(phantoms, knowing, SETTINGS, EASY)
    accept_phantoms(Desk(live.client))
    client = _client(live, tmp_path)
    assert list(client.info()["trainers"]) == ["classes"]
    # Without a label it is the one that is no class yet.
    begun = client.train_start("classes", {"steps": 400})
    assert begun["job"]["kind"] == "training" and begun["status"] in ("PENDING", "RUNNING")
    assert client.train_status(check_if_running=True) is True
    assert client.train_status()["id"] == begun["id"]
    client.train_stop()
    assert Desk(live.client).finish(int(begun["id"]))["state"] == "cancelled"
    assert client.train_status(check_if_running=True) is False
    done = client.train_start("", {"label": NEW, "steps": 1})
    assert Desk(live.client).finish(int(done["id"]))["state"] == "done"
    assert NEW in client.info()["models"]["classes"]["labels"]
    live.end()


def test_other_forms_of_an_answer(live: Live, tmp_path: Path) -> None:
    desk = Desk(live.client)
    form = {"params": json.dumps({"label": "liver"})}
    only = desk.ask("POST", "/infer/classes?image=0.png&output=json", data=form)
    assert only["label_names"] == {"liver": 1}
    image = desk.ask("POST", "/infer/classes?image=0.png&output=image", data=form)
    assert "label.nii.gz" in image.headers["content-disposition"]
    desk.ask("POST", "/infer/classes?image=0.png&output=dicom_seg", 422, data=form)
    series(live.project.root)
    desk.post("/api/images/scan")
    seg = desk.ask(
        "POST",
        "/infer/points?image=axial&output=dicom_seg",
        data={"params": json.dumps({"foreground": [[12, 12, 2]], "label": "thing"})},
    )
    path = tmp_path / "seg.dcm"
    path.write_bytes(seg.content)
    ct = read_image(live.project.root / "axial")
    assert read_mask(path, like=ct).to_labels()["thing"][2, 12, 12]
    archive = desk.get("/datastore/image?image=axial")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as inside:
        assert len(inside.namelist()) == ct.num_slices


REFUSED = [
    ("/infer/nobody?image=0.png", 404, "{}"),
    ("/infer/classes?image=nobody", 404, "{}"),
    ("/infer/classes", 422, "{}"),
    ("/infer/classes?image=0.png", 400, "{"),
    ("/infer/classes?image=0.png", 400, "[]"),
    ("/infer/classes?image=0.png", 422, '{"label": ["nothing like it"]}'),
    ("/infer/classes?image=0.png", 422, '{"label": 7}'),
    ("/infer/points?image=0.png", 422, "{}"),
    ("/infer/points?image=0.png", 422, '{"foreground": [[1]]}'),
    ("/infer/points?image=0.png", 422, '{"foreground": [[9999, 3, 0]]}'),
    ("/infer/references?image=0.png", 409, "{}"),
]


def test_what_cannot_be_answered_is_one_sentence(live: Live) -> None:
    desk = Desk(live.client)
    for path, status, form in REFUSED:
        found = desk.ask("POST", path, status, data={"params": form})
        assert len(found["error"]["message"]) > 10


def test_the_whole_dataset_and_what_is_kept(live: Live) -> None:
    desk = Desk(live.client)
    session = desk.open(1)
    desk.click(session, 65, 75)
    desk.post(f"{session}/accept")
    answer = desk.get("/datastore/dataset")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as inside:
        assert "labels/final/000001-0.png.nii.gz" in inside.namelist()
        assert len([one for one in inside.namelist() if one.startswith("images/")]) == VOLUME
    assert desk.get("/datastore/?output=train") == [{"image": "0.png", "label": "0.png"}]
    assert desk.get("/datastore/label/info?label=0.png&tag=final")["accepted"][0]["author"] == "Ada"
    desk.ask("HEAD", "/datastore/label?label=0.png&tag=final")
    desk.ask("HEAD", "/datastore/label?label=1.png&tag=final", 404)
    kept = desk.ask("DELETE", "/datastore/label?id=0.png&tag=final", 501)["error"]
    assert kept["code"] == "not_there_yet"
    files = {"label": ("a.nii.gz", b"x")}
    desk.ask("PUT", "/datastore/label?image=0.png&tag=original", 501, files=files)
    desk.ask("PUT", "/datastore/label?image=0.png", 409, files=files)
    desk.ask("PUT", "/datastore/label?image=1.png", 422, files=files)
