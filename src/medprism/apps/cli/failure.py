"""What a failed command says and how it ends: one sentence, a status, no traceback."""

from __future__ import annotations

import sys
import traceback

from medprism.core.errors import MedprismError


def report(error: Exception, *, with_traceback: bool) -> int:
    r"""Say on stderr what went wrong and return the exit status.

    2 where the user can mend it, 1 where the mistake is ours. The traceback is shown only on
    request.

    >>> import contextlib, io
    >>> with contextlib.redirect_stderr(io.StringIO()) as said:
    ...     report(MedprismError("no such file"), with_traceback=False)
    2
    >>> said.getvalue()
    'medprism: no such file\n'
    """
    if with_traceback:
        traceback.print_exception(error)
    status, sentence = _judge(error)
    print(f"medprism: {' '.join(sentence.split())}", file=sys.stderr)
    return status


def _judge(error: Exception) -> tuple[int, str]:
    if isinstance(error, MedprismError):
        return error.exit_status, str(error)
    return 1, (
        f"this is a bug in medprism: {type(error).__name__}: {error} "
        "(`medprism --debug ...` shows where)"
    )
