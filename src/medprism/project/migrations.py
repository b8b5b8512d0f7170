"""The tables of a project, as steps from an empty file to the present version."""

from __future__ import annotations

from typing import Final, TypeAlias

Migration: TypeAlias = tuple[str, ...]

_FIRST: Final[Migration] = (
    """CREATE TABLE images (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        path TEXT NOT NULL,
        part TEXT,
        is_uploaded INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'new',
        reason TEXT,
        digest TEXT,
        width INTEGER,
        height INTEGER,
        slices INTEGER,
        is_rgb INTEGER,
        modality TEXT,
        spacing TEXT,
        is_physical INTEGER,
        is_presegmented INTEGER NOT NULL DEFAULT 0,
        uncertainty REAL,
        is_removed INTEGER NOT NULL DEFAULT 0,
        added TEXT NOT NULL,
        changed TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX one_image_per_file ON images (path, COALESCE(part, ''), is_uploaded)",
    "CREATE INDEX images_by_state ON images (is_removed, state)",
    """CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        red INTEGER NOT NULL,
        green INTEGER NOT NULL,
        blue INTEGER NOT NULL,
        added TEXT NOT NULL
    )""",
    """CREATE TABLE acceptances (
        id INTEGER PRIMARY KEY,
        image INTEGER NOT NULL REFERENCES images (id),
        label INTEGER NOT NULL REFERENCES labels (id),
        file TEXT UNIQUE,
        sha256 TEXT,
        pixels INTEGER NOT NULL,
        author TEXT NOT NULL,
        time TEXT NOT NULL,
        is_current INTEGER NOT NULL DEFAULT 1
    )""",
    """CREATE UNIQUE INDEX one_current_mask ON acceptances (image, label)
        WHERE is_current = 1""",
    """CREATE TABLE examples (
        id INTEGER PRIMARY KEY,
        label INTEGER NOT NULL REFERENCES labels (id),
        image INTEGER NOT NULL REFERENCES images (id),
        acceptance INTEGER NOT NULL REFERENCES acceptances (id),
        origin TEXT NOT NULL,
        author TEXT NOT NULL,
        added TEXT NOT NULL,
        is_active INTEGER NOT NULL DEFAULT 1,
        score REAL,
        scored TEXT,
        UNIQUE (label, image)
    )""",
    """CREATE TABLE works (
        image INTEGER PRIMARY KEY REFERENCES images (id),
        file TEXT NOT NULL,
        events INTEGER NOT NULL,
        pointer INTEGER,
        author TEXT NOT NULL,
        saved TEXT NOT NULL
    )""",
    """CREATE TABLE leases (
        image INTEGER PRIMARY KEY REFERENCES images (id),
        holder TEXT NOT NULL UNIQUE,
        author TEXT NOT NULL,
        since REAL NOT NULL,
        expires REAL NOT NULL
    )""",
    """CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued',
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        author TEXT NOT NULL,
        created TEXT NOT NULL,
        ended TEXT,
        result TEXT,
        file TEXT
    )""",
    """CREATE TABLE job_items (
        job INTEGER NOT NULL REFERENCES jobs (id),
        item TEXT NOT NULL,
        outcome TEXT NOT NULL,
        PRIMARY KEY (job, item)
    )""",
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
)

# Checkpoints that were trained here; the base model, which the server was started with, has no row.
_CHECKPOINTS: Final[Migration] = (
    """CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY,
        file TEXT NOT NULL UNIQUE,
        weights_hash TEXT NOT NULL,
        label INTEGER NOT NULL REFERENCES labels (id),
        job INTEGER NOT NULL UNIQUE REFERENCES jobs (id),
        parent INTEGER REFERENCES checkpoints (id),
        report TEXT NOT NULL,
        author TEXT NOT NULL,
        created TEXT NOT NULL,
        is_current INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE UNIQUE INDEX one_current_checkpoint ON checkpoints (is_current) WHERE is_current = 1",
)

# The position, from 1, is the version that a step leads to; steps are never changed or removed.
MIGRATIONS: Final[tuple[Migration, ...]] = (_FIRST, _CHECKPOINTS)
