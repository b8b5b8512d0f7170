from __future__ import annotations

import warnings

import pytest

from medprism.core.errors import GeometryError, ImageReadError, InternalError
from medprism.io.foreign import check_promise, decoding, encoding, first_line


class OwnError(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), OSError("bad"), KeyError("bad"), SyntaxError("bad"), OwnError("bad")],
)
def test_any_failure_of_a_decoder_is_one_sentence(error: Exception) -> None:
    with (
        pytest.raises(ImageReadError, match=r"cannot be read as PNG \('?bad'?\); it may be") as got,
        decoding("PNG", OwnError),
    ):
        raise error
    assert got.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [GeometryError("ours"), InternalError("ours"), KeyboardInterrupt()]
)
def test_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as got, decoding("PNG"):
        raise error
    assert got.value is error


def test_warnings_are_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), decoding("PNG"):
        warnings.warn("odd value", UserWarning, stacklevel=1)
    assert "PNG: odd value" in caplog.text


def test_the_filters_are_restored() -> None:
    before = list(warnings.filters)
    with pytest.raises(ImageReadError), decoding("PNG"):
        raise ValueError
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb", "a"),
        ("plugins failed:\n  gdcm: no\n other", "plugins failed: gdcm: no"),
        ("", "ValueError"),
        ("x" * 300, "x" * 157 + "..."),
    ],
)
def test_first_line(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line


def test_a_header_may_promise_what_the_file_can_hold() -> None:
    check_promise(100, 100, is_compressed=False)
    check_promise(103_200, 100, is_compressed=True)
    with pytest.raises(ImageReadError, match="promises 101 bytes of pixels but the file holds 100"):
        check_promise(101, 100, is_compressed=False)
    with pytest.raises(ImageReadError, match="truncated or damaged"):
        check_promise(103_201, 100, is_compressed=True)


def test_warnings_that_may_name_a_patient_are_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        with decoding("DICOM", is_private=True):
            warnings.warn("Invalid value for VR DA: 'Zeltner'", UserWarning, stacklevel=1)
        with encoding("DICOM-SEG"):
            warnings.warn("Invalid value for VR DA: 'Zeltner'", UserWarning, stacklevel=1)
    assert "Zeltner" not in caplog.text
    assert "DICOM-SEG: UserWarning" in caplog.text
