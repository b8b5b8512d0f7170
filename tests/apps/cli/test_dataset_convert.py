from pathlib import Path

from tests.apps.conftest import Command
from tests.data.layouts.trees import write_plain_volumes


def test_a_folder_is_converted_and_what_is_lost_is_printed(
    medprism: Command, tmp_path: Path
) -> None:
    write_plain_volumes(tmp_path / "source")
    ended = medprism("data", "convert", tmp_path / "source", tmp_path / "nn", "--to", "nnunet")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0] == "plain -> nnunet: 4 cases written, 0 unchanged"
    assert lines[1] == "lost: label numbers: 4 -> 2"
    assert "kept for medprism only: patients" in lines
    again = medprism(
        "data", "convert", tmp_path / "source", tmp_path / "nn", "--to", "nnunet", "--json"
    ).json()
    assert (again["written"], again["unchanged"]) == (0, 4)
    whole = medprism("data", "convert", tmp_path / "source", tmp_path / "bids", "--to", "bids")
    assert "lost: nothing" in whole.out


def test_mistakes_are_one_sentence(medprism: Command, tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ((tmp_path / "empty", tmp_path / "out", "--to", "msd"), "looked for nnU-Net v2 raw"),
        ((tmp_path / "source", tmp_path / "out", "--to", "yolo"), "no layout 'yolo'"),
        ((tmp_path / "source", tmp_path / "source", "--to", "msd"), "lie inside one another"),
    ):
        ended = medprism("data", "convert", *arguments)
        assert ended.status == 2
        assert said in ended.err
        assert len(ended.err.splitlines()) == 1
