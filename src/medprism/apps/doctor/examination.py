"""All checks in a row; what cannot be checked because of a former problem is left out."""

from __future__ import annotations

from collections.abc import Iterator

from medprism.apps.doctor.finding import Finding
from medprism.apps.doctor.installation import check_decoders, check_installation, check_torch


def examine() -> Iterator[Finding]:
    """Yield a finding after the other, the quick ones first."""
    yield from check_installation()
    torch = check_torch()
    yield torch
    decoders = check_decoders()
    yield from decoders
    if any(finding.state == "problem" for finding in (torch, *decoders)):
        return
    # They import torch and the readers, which do work by now.
    from medprism.apps.doctor.machine import (
        check_folders,
        check_memory,
        check_threads,
        check_weights,
        working_folders,
    )
    from medprism.apps.doctor.self_test import self_test

    yield check_threads()
    yield check_memory()
    yield from check_folders(working_folders())
    yield from check_weights()
    yield self_test()
