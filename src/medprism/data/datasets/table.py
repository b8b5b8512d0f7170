"""The published sets as a table: for people, and for docs/datasets.md."""

from __future__ import annotations

from collections.abc import Iterable

from medprism.data.datasets.published import PublishedSet, Use

UNKNOWN = "unknown"
HEADER = (
    "| name | data | modality | concepts | cases of the papers | split | intensity | licence "
    "| layout | source |"
)


def lines(sets: Iterable[PublishedSet]) -> tuple[str, ...]:
    """Return one line of text a set: name, modality, licence, home page."""
    rows = [(s.name, s.modality or "-", s.licence or UNKNOWN, s.home_page) for s in sets]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return tuple(
        "  ".join((*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]))
        for row in rows
    )


def markdown(sets: Iterable[PublishedSet]) -> str:
    """Return the table of docs/datasets.md."""
    rule = "|---" * (HEADER.count("|") - 1) + "|"
    return "\n".join((HEADER, rule, *map(_row, sets))) + "\n"


def _row(published: PublishedSet) -> str:
    cells = (
        f"`{published.name}`",
        f"[{published.title}]({published.home_page})",
        published.modality or "-",
        ", ".join(published.concepts),
        "; ".join(map(_use, published.uses)),
        published.uses[0].rule,
        f"`{published.intensity}`",
        _licence(published),
        published.layout.replace("|", "\\|").replace("*", "\\*"),
        f"[page]({published.layout_source})",
    )
    return f"| {' | '.join(cells)} |"


def _licence(published: PublishedSet) -> str:
    """Return the licence as a link to the page that states it."""
    words = published.licence or UNKNOWN
    return f"[{words}]({published.licence_source})" if published.licence_source else words


def _use(use: Use) -> str:
    """Return how a paper used a set, such as "K-Prism (train, 1 class): 98 / - / 32"."""
    counts = str(use.cases)
    if use.cases == type(use.cases)():
        counts = f"{use.total:,}" if use.total is not None else f"slices {use.slices}"
        if use.total is None and use.slices == type(use.slices)():
            counts = UNKNOWN
    classes = "1 class" if use.classes == 1 else f"{use.classes} classes"
    return f"{use.paper} ({use.role}, {classes}): {counts}"
