from __future__ import annotations

import pytest

from medprism.apps.cli.failure import report
from medprism.core.errors import ImageReadError, InternalError


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ImageReadError("scan.png: it is empty;\ncopy it again"), 2, "scan.png: it is empty; copy"),
        (InternalError("loss is nan"), 1, "this is a bug in medprism: InternalError: loss is nan"),
        (ZeroDivisionError("division"), 1, "this is a bug in medprism: ZeroDivisionError"),
    ],
)
def test_every_error_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], error: Exception, status: int, said: str
) -> None:
    assert report(error, with_traceback=False) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_the_traceback_comes_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("lost")
    except KeyError as error:
        assert report(error, with_traceback=True) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
