from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import ImageReadError
from medprism.io.itk_header import HEADER_BYTES, find_pixels
from medprism.io.reader import read_image
from tests.io.reading_child import ReadingChild

OWN = bytes(120)
SECRET = np.arange(100, 220, dtype=np.uint8).tobytes()
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 6 5 4\nElementType = MET_UCHAR\n"
)
NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 6 5 4\nencoding: raw\n"

# Each of these made ITK read the file outside the folder, or ended the process.
META_TRICKS = [
    "ElementDataFile = ../secret.raw\n",
    "  ElementDataFile = ../secret.raw\nElementDataFile = LOCAL\n",
    "\tElementDataFile = ../secret.raw\nElementDataFile = own.raw\n",
    "ElementDataFile: ../secret.raw\nElementDataFile = LOCAL\n",
    "Comment = a\rElementDataFile = ../secret.raw\nElementDataFile = own.raw\n",
    "ElementDataFile = LIST\n../secret.raw\n",
    "ElementDataFile = %s\n",
    "ElementDataFile = LIST%s%s%s%s 1 9\n",
]
NRRD_TRICKS = [
    "data file: ../secret.raw\n\n",
    "Data File: ../secret.raw\n\n",
    "DATAFILE:../secret.raw\n\n",
    "data file: own.raw\nDATA FILE: ../secret.raw\n\n",
    "data file: LIST\n../secret.raw\n",
    "data file: %s 1 1 1 3\n\n",
    f"#{'c' * HEADER_BYTES}\ndata file: ../secret.raw\n\n",
    "encoding: raw\r\rdata file: ../secret.raw\n\n",
]


@pytest.fixture(scope="module")
def child() -> Iterator[ReadingChild]:
    with ReadingChild() as started:
        yield started


@pytest.mark.parametrize(
    ("name", "header"),
    [
        *(("a.mha", META + trick) for trick in META_TRICKS),
        *((name, NRRD + trick) for trick in NRRD_TRICKS for name in ("a.nrrd", "a.nhdr")),
    ],
    ids=lambda text: repr(text)[-40:],
)
def test_no_header_leads_out_of_its_folder(
    child: ReadingChild, tmp_path: Path, name: str, header: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.raw").write_bytes(SECRET)
    # Files that make the names of lists and patterns those of files, too.
    for own in ("own.raw", "LIST", "%s", "LIST%s%s%s%s 1 9", "%s 1 1 1 3"):
        (inner / own).write_bytes(OWN)
    (inner / name).write_bytes(header.encode() + (b"" if name.endswith("nhdr") else OWN))
    verdict = child.read(inner / name)
    assert verdict.fault is None
    if "Image" in verdict.said:
        assert not read_image(inner / name).voxels.any()
    else:
        assert any(word in verdict.said[0] for word in ("same folder", "its header", "NRRD"))


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize("name", ["own.raw", "a name with (1) blanks.raw", "Läsion.raw"])
def test_a_file_beside_the_header_is_found(tmp_path: Path, suffix: str, name: str) -> None:
    (tmp_path / name).write_bytes(SECRET)
    header = (
        META + f"ElementDataFile = {name}\n" if suffix == ".mhd" else NRRD + f"data file: {name}\n"
    )
    path = tmp_path / f"a{suffix}"
    path.write_bytes(header.encode())
    assert find_pixels(path, header.encode()).path == tmp_path / name
    assert read_image(path).voxels[0, 0, 0, 0] == 100


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    for name, header in (("a.mha", META + "ElementDataFile = LOCAL\n"), ("a.nrrd", NRRD + "\n")):
        (tmp_path / name).write_bytes(header.replace("\n", "\r\n").encode() + SECRET)
        assert read_image(tmp_path / name).voxels[0, 0, 1, 0] == 101


@pytest.mark.parametrize("axes", ["99999993", "-3", "1", "x", "5", "3\nNDims = 99999993"])
def test_a_number_of_axes_that_ends_the_process_is_refused(
    child: ReadingChild, tmp_path: Path, axes: str
) -> None:
    header = META.replace("NDims = 3", f"NDims = {axes}") + "ElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header.encode() + OWN)
    verdict = child.read(tmp_path / "a.mha")
    assert verdict.fault is None and "Image" not in verdict.said


@pytest.mark.parametrize("size", ["3999999980", "-1", "nan", "1e9", "9" * 40])
def test_a_packed_size_beyond_the_file_is_refused(tmp_path: Path, size: str) -> None:
    header = META + f"CompressedData = True\nCompressedDataSize = {size}\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header.encode() + OWN)
    with pytest.raises(ImageReadError, match=r"a\.mha: its header says that its packed pixels"):
        read_image(tmp_path / "a.mha")


def test_an_axis_without_pixels_is_refused(tmp_path: Path) -> None:
    header = META.replace("6 5 4", "6 5 .4") + "ElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header.encode() + OWN)
    with pytest.raises(ImageReadError, match="6 x 5 x 0 pixels"):
        read_image(tmp_path / "a.mha")
