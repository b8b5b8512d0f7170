from medprism.data.slice_row import SliceRow

PLAIN = {
    "dataset": "set",
    "case_id": "a_z003",
    "patient": None,
    "split": "train",
    "role": "external",
    "modality": "MR",
    "slice_index": 3,
    "relative_position": 0.25,
    "view": None,
    "spacing": [0.5, 0.75],
    "plane": 3,
    "shape": [5, 7, 3],
    "source_shape": [10, 14],
    "areas": {"2": 4, "11": 1},
    "content": "ab:3",
    "offset": 40,
}


def test_a_row_of_version_1_is_read() -> None:
    row = SliceRow.from_json(PLAIN)
    assert row.areas == {2: 4, 11: 1}
    assert (row.shape, row.source_shape, row.spacing) == ((5, 7, 3), (10, 14), (0.5, 0.75))
    assert not row.is_unlabelled
    assert SliceRow.from_json({**PLAIN, "spacing": None}).spacing is None


def test_a_record_is_pixels_and_one_packed_plane_a_label() -> None:
    row = SliceRow.from_json(PLAIN)
    assert row.image_bytes == 105
    assert row.plane_bytes == 5
    assert row.num_bytes == 115
    assert SliceRow.from_json({**PLAIN, "areas": {}}).num_bytes == 105
