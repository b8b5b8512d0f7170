"""What people chose for a project; kept in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from medprism.core.errors import ConfigError
from medprism.project.database import Database

ORDERS: Final = ("list", "uncertain")


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """How a project is worked on."""

    presegment_next: bool = True
    order: str = "list"
    references_used: int = 8
    score_on_accept: bool = False

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ConfigError(f"order {self.order!r} is none; choose {' or '.join(ORDERS)}")
        if not 1 <= self.references_used <= 16:
            raise ConfigError(f"references_used is {self.references_used}; it must be 1 to 16")


class Preferences:
    """The table of settings; what is not in it has its default."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> ProjectSettings:
        """Return the settings; ones that this version does not know are left alone."""
        known = {field.name for field in fields(ProjectSettings)}
        rows = self._database.rows("SELECT key, value FROM settings")
        found = {row["key"]: json.loads(row["value"]) for row in rows if row["key"] in known}
        return ProjectSettings(**found)

    def change(self, changes: Mapping[str, Any]) -> ProjectSettings:
        """Change some settings and return all.

        Raises:
            ConfigError: an unknown setting, or a value outside its range.
        """
        present = asdict(self.read())
        for name, value in changes.items():
            if name not in present or type(value) is not type(present[name]):
                raise ConfigError(
                    f"setting {name!r} = {value!r} is none; there is {', '.join(present)}"
                )
        wanted = ProjectSettings(**{**present, **changes})
        with self._database.writing() as connection:
            for name in changes:
                connection.execute(
                    "INSERT OR REPLACE INTO settings VALUES (?, ?)",
                    (name, json.dumps(getattr(wanted, name))),
                )
        return wanted
