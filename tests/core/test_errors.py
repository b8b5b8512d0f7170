from __future__ import annotations

import inspect

from medprism.core import errors


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = [
        name
        for name, item in inspect.getmembers(errors, inspect.isclass)
        if item.__module__ == errors.__name__
    ]
    assert errors.__doc__ is not None
    listed = [line.split()[0] for line in errors.__doc__.splitlines() if "Error " in line]
    assert sorted(listed) == sorted(classes)


def test_users_errors_exit_with_2_and_ours_with_1() -> None:
    assert errors.ImageReadError.exit_status == errors.MedprismError.exit_status == 2
    assert errors.InternalError.exit_status == 1
    assert not issubclass(errors.InternalError, errors.MedprismError)
