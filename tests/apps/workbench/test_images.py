from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.io.reader import read_image, read_mask
from tests.apps.workbench.conftest import VOLUME, Desk, Live
from tests.inference.phantom import scene, volume
from tests.io.dicom_scene import series


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(content)))


def _png(value: int = 7) -> bytes:
    done, content = cv2.imencode(".png", np.full((20, 31), value, np.uint8))
    assert done
    return content.tobytes()


def test_the_project_says_what_a_client_needs(desk: Desk) -> None:
    shown = desk.get("/api/project")
    assert shown["name"] == "images" and shown["author"] == "Ada"
    assert shown["images"]["new"] == VOLUME
    assert {name for name, takes in shown["model"]["accepts"].items() if takes} == {
        "classes",
        "references",
        "clicks",
    }
    assert "dicom-seg" in shown["formats"]
    assert shown["settings"]["references_used"] == 8
    assert [one["name"] for one in desk.get("/api/classes?query=HEP")["classes"]] == ["liver"]
    desk.ask("PATCH", "/api/settings", 422, json={"references_used": 99})
    desk.ask("PATCH", "/api/settings", 422, json={"unheard_of": 1})


def test_lists_are_cut_searched_and_checked(desk: Desk) -> None:
    shown = desk.get("/api/images?limit=2&offset=1")
    assert [one["name"] for one in shown["images"]] == ["1.png", "2.png"]
    assert shown["total"] == VOLUME
    assert desk.get("/api/images?query=SCAN")["total"] == 1
    assert desk.get("/api/images?state=new&state=skipped")["total"] == VOLUME
    assert "choose among new" in desk.get("/api/images?state=odd", 422)["error"]["message"]
    desk.get("/api/images?limit=100000", 422)
    assert desk.get("/api/images/77", 404)["error"]["code"] == "not_found"
    desk.get("/api/images/seven", 422)


def test_an_image_tells_its_size_and_window(desk: Desk) -> None:
    assert desk.get("/api/images")["images"][0]["width"] is None
    shown = desk.get(f"/api/images/{VOLUME}")
    assert (shown["slices"], shown["height"], shown["width"]) == (5, 88, 124)
    assert shown["spacing"] == pytest.approx([4.0, 0.9, 0.8])
    assert shown["window"]["low"] == 0 and shown["window"]["presets"] == []


def test_slices_are_pictures_of_the_same_pixels(live: Live) -> None:
    desk = Desk(live.client)
    stack = volume()[0]
    shown = _pixels(desk.get(f"/api/images/{VOLUME}/slices/3.png").content)
    assert np.array_equal(shown, stack[3])
    darker = _pixels(desk.get(f"/api/images/{VOLUME}/slices/3.png?low=50&high=150").content)
    expected = np.rint(to_eight_bit_range(stack[3][..., None], (50.0, 150.0)))[..., 0]
    assert np.array_equal(darker, expected.astype(np.uint8))
    raw = desk.get(f"/api/images/{VOLUME}/slices/3.png?raw=true")
    values = _pixels(raw.content) * float(raw.headers["x-scale"]) + float(raw.headers["x-offset"])
    assert np.array_equal(values, stack[3])
    desk.get(f"/api/images/{VOLUME}/slices/5.png", 422)
    desk.get(f"/api/images/{VOLUME}/slices/3.png?low=9&high=1", 422)
    desk.get(f"/api/images/{VOLUME}/slices/3.png?low=nan", 422)


def test_hounsfield_and_colour(live: Live) -> None:
    import nibabel as nib

    rows = np.linspace(-1000, 1500, 40 * 30 * 3).reshape(40, 30, 3)
    nib.save(nib.Nifti1Image(rows.astype(np.float32), np.eye(4)), live.project.root / "ct.nii.gz")
    colour = np.dstack([np.full((20, 31), part, np.uint8) for part in (10, 120, 230)])
    assert cv2.imwrite(str(live.project.root / "rgb.png"), colour[..., ::-1])
    desk = Desk(live.client)
    ct, rgb = (one["id"] for one in desk.post("/api/images/scan")["added"])
    window = desk.get(f"/api/images/{ct}")["window"]
    assert [one["name"] for one in window["presets"]][:2] == ["soft tissue", "lung"]
    raw = desk.get(f"/api/images/{ct}/slices/1.png?raw=true")
    scale, offset = float(raw.headers["x-scale"]), float(raw.headers["x-offset"])
    image = read_image(live.project.root / "ct.nii.gz")
    values = _pixels(raw.content) * scale + offset
    assert np.abs(values - image.voxels[1, ..., 0]).max() <= scale
    assert choose_rule(image).name == "ct-organ"
    assert np.array_equal(_pixels(desk.get(f"/api/images/{rgb}/slices/0.png").content), colour)
    desk.get(f"/api/images/{rgb}/slices/0.png?raw=true", 422)


def test_images_are_added_and_taken_off(
    live: Live, tmp_path_factory: pytest.TempPathFactory
) -> None:
    desk = Desk(live.client)
    ct = tmp_path_factory.mktemp("ct")
    series(ct)
    files = [("files", (one.name, one.read_bytes())) for one in sorted((ct / "axial").iterdir())]
    more = [("files", ("../../up.png", _png())), ("files", ("notes.txt", b"hello"))]
    shown = desk.ask("POST", "/api/images", 201, files=[*files, *more])
    names = {one["name"]: one["id"] for one in shown["added"]}
    assert "up.png" in names and len(names) == 2
    assert [one["name"] for one in shown["refused"]] == ["notes.txt"]
    assert desk.get(f"/api/images/{names['up.png']}")["width"] == 31
    session = desk.open(names["up.png"])
    desk.ask("DELETE", f"/api/images/{names['up.png']}", 409)
    desk.ask("DELETE", session, 204)
    desk.ask("DELETE", f"/api/images/{names['up.png']}", 204)
    desk.get(f"/api/images/{names['up.png']}", 404)
    desk.ask("POST", "/api/images", 422)
    desk.ask("POST", "/api/images", 400, data={"files": "text"})


def test_thumbnails_show_what_was_accepted(live: Live) -> None:
    desk = Desk(live.client)
    plain = desk.get("/api/images/1/thumbnail.png?size=64")
    assert max(_pixels(plain.content).shape) == 64
    session = desk.open(1)
    desk.click(session, 65, 75)
    desk.post(f"{session}/accept")
    outlined = _pixels(desk.get("/api/images/1/thumbnail.png?size=64").content)
    assert (outlined == (230, 159, 0)).all(2).any()
    assert not (_pixels(plain.content) == (230, 159, 0)).all(2).any()
    reference = desk.get("/api/references")["references"][0]["id"]
    shown = _pixels(desk.get(f"/api/references/{reference}/thumbnail.png?size=64").content)
    assert np.array_equal(shown, outlined)
    desk.get("/api/images/1/thumbnail.png?size=4000", 422)
    # Voxels of 4 x 0.9 x 0.8 mm: wider than high in true proportions.
    wide = _pixels(desk.get(f"/api/images/{VOLUME}/thumbnail.png?size=100").content)
    assert wide.shape[:2] == (round(100 * 88 * 0.9 / (124 * 0.8)), 100)


def test_one_image_is_exported_in_a_format(live: Live) -> None:
    desk = Desk(live.client)
    session = desk.open(VOLUME)
    desk.click(session, 30, 33, "liver", slice=1)
    desk.get(f"/api/images/{VOLUME}/export", 409)
    desk.post(f"{session}/accept")
    answer = desk.get(f"/api/images/{VOLUME}/export?format=nrrd")
    assert "000005-scan.nii.gz.nrrd" in answer.headers["content-disposition"]
    path = live.project.root.parent / "out.nrrd"
    path.write_bytes(answer.content)
    image = read_image(live.project.root / "scan.nii.gz")
    assert read_mask(path, like=image).to_labels()["liver"][1].any()
    stack = desk.get(f"/api/images/{VOLUME}/export?format=png-stack")
    assert "000005-scan.nii.gz.pngs.zip" in stack.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(stack.content)) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 5
    assert (
        desk.get(f"/api/images/{VOLUME}/export?format=docx", 422)["error"]["code"] == "bad_format"
    )
    assert desk.get(f"/api/images/{VOLUME}/export?format=png", 422)["error"]["code"] == "bad_format"


def test_labels_are_made_changed_and_removed(desk: Desk) -> None:
    liver = desk.post("/api/labels", {"name": "Hepar"}, 201)
    assert (liver["name"], liver["is_class"]) == ("liver", True)
    mine = desk.post("/api/labels", {"name": "mine", "colour": [1, 2, 3]}, 201)
    assert mine["colour"] == [1, 2, 3] and not mine["is_class"]
    changed = desk.ask("PATCH", f"/api/labels/{mine['id']}", json={"name": "yours"})
    assert changed["name"] == "yours"
    desk.ask("PATCH", f"/api/labels/{mine['id']}", 409, json={"name": "liver"})
    desk.post("/api/labels", {"name": "x\ny"}, 422)
    desk.post("/api/labels", {"name": "x", "colour": [1, 2, 300]}, 422)
    session = desk.open(1)
    desk.click(session, 65, 75, "yours")
    desk.post(f"{session}/accept")
    desk.ask("DELETE", f"/api/labels/{mine['id']}", 409)
    desk.ask("DELETE", f"/api/labels/{liver['id']}", 204)
    assert [one["accepted"] for one in desk.get("/api/labels")["labels"]] == [1]


def test_a_finished_pair_from_elsewhere_becomes_a_reference(live: Live) -> None:
    desk = Desk(live.client)
    image, masks = scene(7, shift=3)
    done, picture = cv2.imencode(".png", image)
    made, mask = cv2.imencode(".png", masks["left kidney"].astype(np.uint8))
    assert done and made
    pair = {"image": ("case.png", picture.tobytes()), "mask": ("case.png", mask.tobytes())}
    found = desk.ask("POST", "/api/references/upload", 201, files=pair, data={"label": "thing"})
    assert (found["origin"], found["name"], found["image_name"]) == (
        "uploaded",
        "thing",
        "case.png",
    )
    state = desk.post("/api/sessions", {"image": 1, "presegment": True}, 201)
    assert [one["uses"] for one in state["labels"]] == ["references"]
    wrong = {**pair, "mask": ("m.png", _png())}
    refused = desk.ask("POST", "/api/references/upload", 422, files=wrong, data={"label": "thing"})
    assert refused["error"]["code"] == "bad_reference"
    assert desk.get("/api/images?query=case")["total"] == 1
    none = {**pair, "image": ("m.txt", b"hello")}
    desk.ask("POST", "/api/references/upload", 422, files=none, data={"label": "thing"})
    shown = desk.ask("PATCH", f"/api/references/{found['id']}", json={"is_active": False})
    assert not shown["is_active"]
    desk.ask("DELETE", f"/api/references/{found['id']}", 204)
    assert desk.get("/api/references?label=thing")["references"] == []
    again = desk.post("/api/references", {"image": found["image"], "label": "thing"}, 201)
    assert again["origin"] == "accepted"
    desk.post("/api/references", {"image": 1, "label": "thing"}, 409)
    desk.get("/api/references?label=nobody", 422)


def test_jobs_segment_judge_and_export(live: Live) -> None:
    desk = Desk(live.client)
    for number, place in ((1, (65, 75)), (2, (65, 79))):
        session = desk.open(number)
        desk.click(session, *place)
        desk.post(f"{session}/accept")
        desk.ask("DELETE", session, 204)
    job = desk.post("/api/jobs", {"kind": "presegment"}, 201)
    with live.client.stream("GET", f"/api/jobs/{job['id']}/events", headers=desk.headers) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        text = "".join(events.iter_text())
    assert text.startswith("event: progress\ndata: {")
    assert text.rstrip().split("\n\n")[-1].startswith("event: end")
    done = desk.get(f"/api/jobs/{job['id']}")
    assert (done["state"], done["result"]["segmented"]) == ("done", 3)
    assert {one["id"] for one in desk.get("/api/suggestions")["images"]} == {3, 4, VOLUME}
    scored = desk.finish(desk.post("/api/jobs", {"kind": "score", "label": "thing"}, 201)["id"])
    assert scored["result"] == {"scored": 2, "alone": 0}
    assert all(one["score"] > 0.8 for one in desk.get("/api/references")["references"])
    export = desk.finish(desk.post("/api/jobs", {"kind": "export", "format": "coco"}, 201)["id"])
    assert export["has_file"] and export["result"]["images"] == 2
    archive = desk.get(f"/api/jobs/{export['id']}/file")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as inside:
        assert "masks/000001-0.png.json" in inside.namelist()
    assert [one["kind"] for one in desk.get("/api/jobs")["jobs"]] == [
        "export",
        "score",
        "presegment",
    ]
    desk.get(f"/api/jobs/{job['id']}/file", 404)
    desk.get("/api/jobs/99/events", 404)
    desk.post("/api/jobs", {"kind": "export", "format": "docx"}, 422)
    desk.post("/api/jobs", {"kind": "presegment", "images": [99]}, 404)
    desk.post(f"/api/jobs/{job['id']}/resume", status=409)
