"""nnInteractive's own remote session talks to our server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from medprism.metrics.dice import dice
from tests.apps.workbench.conftest import TOKEN, Live, Serve
from tests.inference.phantom import scene, volume

remote = pytest.importorskip(
    "nnInteractive.inference.remote.remote_session", reason="nninteractive-client is not installed"
)
# The client leaves connections and files for the garbage collector to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STACK, MASKS = volume()


def _connect(live: Live) -> Any:  # noqa: ANN401
    return remote.nnInteractiveRemoteInferenceSession(live.address, api_key=TOKEN)


@pytest.fixture
def client(live: Live) -> Iterator[Any]:
    session = _connect(live)
    yield session
    session.close()


def _open(client: Any, stack: np.ndarray = STACK) -> np.ndarray:  # noqa: ANN401
    client.set_image(stack[None], {"spacing": [4.0, 0.9, 0.8]})
    assert client.original_image_shape == (1, *stack.shape)
    buffer = np.zeros(stack.shape, np.uint8)
    client.set_target_buffer(buffer)
    return buffer


def test_what_the_client_mirrors_is_there(client: Any) -> None:  # noqa: ANN401
    assert client.supported_interactions["points"] and not client.supported_interactions["bbox3d"]
    assert client.channel_mapping["points"] == (3, 4)
    assert client.supports_undo and client.supports_initial_label
    assert client.ping()
    assert client.heartbeat() > 500
    assert set(client.lease_status()) == {"remaining_seconds", "idle_timeout_seconds"}


def test_clicks_fill_the_clients_buffer_and_undo_empties_it(client: Any) -> None:  # noqa: ANN401
    buffer = _open(client)
    box = client.add_point_interaction((1, 30, 33), True)
    assert dice(buffer[1] > 0, MASKS["liver"][1]) > 0.8
    assert not buffer[[0, 2, 3, 4]].any()
    (low, high), rows, cols = box
    assert (low, high) == (1, 2)
    inside = np.zeros_like(buffer)
    inside[1, rows[0] : rows[1], cols[0] : cols[1]] = 1
    assert not buffer[inside == 0].any()
    first = buffer.copy()
    client.add_point_interaction((1, 30, 12), False)
    assert not np.array_equal(buffer, first)
    assert client.undo()
    assert np.array_equal(buffer, first)
    assert client.undo()
    assert not buffer.any()
    assert not client.undo()


def test_boxes_scribbles_lassos_and_masks(client: Any) -> None:  # noqa: ANN401
    buffer = _open(client)
    client.add_bbox_interaction([[2, 3], [10, 52], [8, 66]], True)
    assert buffer[2].any()
    client.reset_interactions()
    assert not buffer.any()
    stroke = np.zeros(STACK.shape, np.uint8)
    stroke[3, 30, 30:45] = 1
    client.add_scribble_interaction(stroke, True)
    assert dice(buffer[3] > 0, MASKS["liver"][3]) > 0.7
    client.reset_interactions()
    client.add_scribble_interaction(
        stroke[3:4, 28:33, 25:50], True, interaction_bbox=[[3, 4], [28, 33], [25, 50]]
    )
    assert dice(buffer[3] > 0, MASKS["liver"][3]) > 0.7
    client.reset_interactions()
    outline = np.zeros(STACK.shape, bool)
    outline[0] = MASKS["left kidney"][0]
    client.add_lasso_interaction(outline, True)
    assert buffer[0].any()
    client.add_initial_seg_interaction(MASKS["polyp"].astype(np.uint8))
    assert np.array_equal(buffer > 0, MASKS["polyp"])
    client.add_point_interaction((0, 30, 30), True, run_prediction=False)
    assert np.array_equal(buffer > 0, MASKS["polyp"])
    client._predict()
    assert not np.array_equal(buffer > 0, MASKS["polyp"])


def test_the_slice_axis_may_be_any(live: Live) -> None:
    for axis in range(3):
        client = _connect(live)
        turned = np.moveaxis(STACK, 0, axis)
        spacing = [0.9, 0.9, 0.9]
        spacing[axis] = 5.0
        client.set_image(turned[None], {"spacing": spacing})
        buffer = np.zeros(turned.shape, np.float32)
        client.set_target_buffer(buffer)
        place = [30, 33]
        place.insert(axis, 1)
        client.add_point_interaction(place, True)
        assert dice(np.moveaxis(buffer, axis, 0)[1] > 0, MASKS["liver"][1]) > 0.8
        client.close()


def test_a_picture_is_a_volume_of_one_slice(client: Any) -> None:  # noqa: ANN401
    image, masks = scene(0)
    buffer = _open(client, image[None])
    client.set_do_autozoom(False)
    client.add_point_interaction((0, 65, 75), True)
    assert dice(buffer[0] > 0, masks["left kidney"]) > 0.8


REFUSED: list[Callable[[Any], object]] = [
    lambda c: c.add_point_interaction((9, 3, 3), True),
    lambda c: c.add_point_interaction((0, -3, 3), True),
    lambda c: c.add_bbox_interaction([[0, 2], [1, 5], [1, 5]], True),
    lambda c: c.add_bbox_interaction([[0, 1], [5, 1], [1, 5]], True),
    lambda c: c.add_scribble_interaction(np.zeros(STACK.shape, np.uint8), True),
    lambda c: c.add_scribble_interaction(np.ones((2, 2, 2), np.uint8), True),
    lambda c: c.add_lasso_interaction(
        np.ones((1, 2, 2), np.uint8), True, interaction_bbox=[[9, 10], [0, 2], [0, 2]]
    ),
    lambda c: c.set_target_buffer(np.zeros((2, 2, 2), np.uint8)),
    lambda c: c.set_target_buffer(np.zeros(STACK.shape, np.complex64)),
    lambda c: c.set_image(np.zeros((2, *STACK.shape), np.uint8)),
]


def test_what_cannot_be_used_is_422_with_a_sentence_and_changes_nothing(
    client: Any,  # noqa: ANN401
) -> None:
    buffer = _open(client)
    client.add_point_interaction((1, 30, 33), True)
    before = buffer.copy()
    for act in REFUSED:
        with pytest.raises(httpx.HTTPStatusError) as refused:
            act(client)
        assert refused.value.response.status_code == 422
        assert refused.value.response.json()["detail"]
        assert np.array_equal(buffer, before)
    client.target_buffer = buffer
    assert client.undo() and not buffer.any()


def test_leases_end_and_are_counted(serve: Serve) -> None:
    live = serve(max_sessions=2)
    one, two = _connect(live), _connect(live)
    with pytest.raises(remote.ServerAtCapacityError, match="all 2 sessions are taken"):
        _connect(live)
    one.close()
    three = _connect(live)
    registry = live.app.state.nninteractive
    registry.idle = 0.05
    time.sleep(0.06)
    with pytest.raises(remote.SessionExpiredError, match="connect once more"):
        two.reset_interactions()
    registry.idle, registry.liveness = 600.0, 0.05
    time.sleep(0.06)
    with pytest.raises(remote.SessionExpiredError):
        three.heartbeat()
    for client in (two, three):
        client.close()


def test_the_token_is_wanted(live: Live) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        remote.nnInteractiveRemoteInferenceSession(live.address, api_key="wrong")


def test_nothing_is_done_before_there_is_an_image(client: Any) -> None:  # noqa: ANN401
    with pytest.raises(httpx.HTTPStatusError) as refused:
        client.add_point_interaction((0, 1, 1), True)
    assert refused.value.response.status_code == 409
    answer = client._http.post("/set_image", content=b"no array", headers={"X-Meta": "{"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
