"""Small files that would unpack to gigabytes: refused at once, with the limit in the message."""

from __future__ import annotations

import resource
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.filewriter import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from medprism.core.errors import ImageReadError
from medprism.io import memory_budget
from medprism.io.memory_budget import check_unpacked, memory_bytes
from medprism.io.reader import read_mask
from tests.io.phantoms import ct_slice
from tests.io.reading_child import BYTES, ReadingChild

MEGABYTE = 2**20


def packed(head: bytes, megabytes: int, wbits: int) -> bytes:
    """Return head and zeros, deflated; a gzip or zlib checksum at the end would be wrong."""
    packer = zlib.compressobj(9, wbits=wbits)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block knows nothing of those before it, so it can be repeated.
    block = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * megabytes + packer.flush()


def nifti_header(shape: tuple[int, ...]) -> bytes:
    image = nib.Nifti1Header()
    image.set_data_dtype(np.int16)
    image.set_data_shape(shape)
    image["magic"], image["vox_offset"] = b"n+1", 352
    return bytes(image.binaryblock) + bytes(4)


def gzipped_volume(path: Path) -> None:
    path.write_bytes(packed(nifti_header((1024, 1024, 700)), 1400, 31))


def gzipped_tail(path: Path) -> None:
    """Write a small volume with gigabytes behind it."""
    path.write_bytes(packed(nifti_header((8, 8, 8)) + bytes(1024), 3000, 31))


def gzipped_offset(path: Path) -> None:
    """Write a small volume far behind its header."""
    head = bytearray(nifti_header((8, 8, 8)))
    head[108:112] = struct.pack("<f", 1.2e9)
    path.write_bytes(packed(bytes(head), 1200, 31))


def png(path: Path) -> None:
    side = 9400
    rows = packed(b"", side * (1 + 3 * side) // MEGABYTE + 1, 15)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def nrrd(path: Path) -> None:
    fields = "type: short,endian: little,dimension: 3,sizes: 1024 1024 700,encoding: gzip"
    header = "NRRD0004\n" + fields.replace(",", "\n") + "\n\n"
    path.write_bytes(header.encode() + packed(b"", 1400, 31))


def meta(path: Path) -> None:
    pixels = packed(b"", 1400, 15)
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\n"
        f"CompressedDataSize = {len(pixels)}\nDimSize = 1024 1024 700\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n"
    )
    path.write_bytes(header.encode() + pixels)


def tiff(path: Path) -> None:
    """Write one deflated strip of 37000 x 37000 pixels."""
    side = 37_000
    strip = packed(b"", side * side // MEGABYTE + 1, 15)
    entries = {256: (4, side), 257: (4, side), 258: (3, 8), 259: (3, 8), 262: (3, 1)}
    entries |= {273: (4, 8), 277: (3, 1), 278: (4, side), 279: (4, len(strip))}
    table = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value)
        for tag, (kind, value) in entries.items()
    )
    directory = struct.pack("<H", len(entries)) + table + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory)


def deflated_dicom(path: Path) -> None:
    dataset = ct_slice(np.zeros((4, 6)), (0.0, 0.0, 0.0))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(path, dataset, enforce_file_format=True)
    whole = path.read_bytes()
    # The group length of the meta information says where the deflated part begins.
    start = 144 + struct.unpack("<I", whole[140:144])[0]
    private = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 1400 * MEGABYTE)
    path.write_bytes(whole[:start] + packed(private, 1400, -15))


def rle_dicom(path: Path) -> None:
    dataset = ct_slice(np.zeros((4, 6)), (0.0, 0.0, 0.0))
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.Rows = dataset.Columns = 30_000
    segment = struct.pack("<16I", 1, 64, *[0] * 14) + bytes(500_000)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, len(segment)
    )
    dataset.PixelData = item + segment
    dataset["PixelData"].is_undefined_length = True
    dcmwrite(path, dataset, enforce_file_format=True)


BOMBS: dict[str, Callable[[Path], None]] = {
    "volume.nii.gz": gzipped_volume,
    "tail.nii.gz": gzipped_tail,
    "offset.nii.gz": gzipped_offset,
    "picture.png": png,
    "volume.nrrd": nrrd,
    "volume.mha": meta,
    "picture.tif": tiff,
    "deflated.dcm": deflated_dicom,
    "rle.dcm": rle_dicom,
}


@pytest.fixture(scope="module")
def child() -> Iterator[ReadingChild]:
    with ReadingChild() as started:
        yield started


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_the_limit_in_time_and_memory(
    child: ReadingChild, tmp_path: Path, name: str
) -> None:
    BOMBS[name](tmp_path / name)
    assert (tmp_path / name).stat().st_size < 4 * MEGABYTE
    verdict = child.read(tmp_path / name)
    assert verdict.fault is None
    for said in verdict.said:
        assert "unpack" in said and any(map(str.isdigit, said.split("unpack")[1]))


def test_large_files_and_sparse_masks_are_no_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "memory_bytes", lambda: 4000)
    check_unpacked(1000, 1)
    check_unpacked(20_000, 1000)
    with pytest.raises(ImageReadError, match=r"its 50 bytes would unpack to 1001; .* take 1000 "):
        check_unpacked(1001, 50)


def test_a_sparse_mask_is_read(tmp_path: Path) -> None:
    array = np.zeros((128, 128, 40), np.float64)
    array[3, 4, 5] = 1
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    size = (tmp_path / "a.nii.gz").stat().st_size
    assert array.nbytes > 10 * memory_budget.PACKING * size
    assert read_mask(tmp_path / "a.nii.gz").array.sum() == 1


def test_the_memory_is_that_of_the_narrowest_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = memory_bytes()
    asked = []

    def limits(kind: int) -> tuple[int, int]:
        asked.append(kind)
        return (BYTES // 7, BYTES) if kind == resource.RLIMIT_DATA else (-1, -1)

    monkeypatch.setattr(resource, "getrlimit", limits)
    assert memory_bytes() == BYTES // 7 < whole
    assert asked
