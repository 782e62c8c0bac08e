"""Blnk's schema ``blnk`` for the sandbox and the tests, in our own words: what a monitor can see of it.

Two releases: 0.13.2, the one that the production checklist names, and 0.15.2.
"""

from pathlib import Path
from typing import Literal, Protocol, get_args

Release = Literal["0.13.2", "0.15.2"]
RELEASES: tuple[Release, ...] = get_args(Release)

_DDL = Path(__file__).with_name("ddl")
# Ids of gorp_migrations as a running Blnk 0.15.2 lists them; 0.13.2 has the first 33.
# fmt: off
_MIGRATIONS = (
    1708676327, 1711640389, 1712395973, 1712660388, 1712749737, 1713790634, 1714213688, 1715045770,
    1721227454, 1721922047, 1723454727, 1736998493, 1740373196, 1740373636, 1740486534, 1740493523,
    1741007609, 1741695343, 1741885443, 1742098199, 1742098787, 1742099489, 1742100059, 1742101752,
    1742400213, 1748323024, 1765154909, 1766887982, 1768315575, 1768746546, 1769343506, 1770461873,
    1770611011, 1780963200, 1780963300, 1781162328, 1781162329,
)
# fmt: on
_MIGRATION_COUNT = {"0.13.2": 33, "0.15.2": 37}


class Connection(Protocol):
    """What is needed of asyncpg's connection."""

    async def execute(self, query: str, /) -> str:
        """Run one or more statements."""
        ...


def migrations(release: Release) -> list[str]:
    """List the ids of ``gorp_migrations`` as a deployment of ``release`` has them, oldest first."""
    return [f"{number}.sql" for number in _MIGRATIONS[: _MIGRATION_COUNT[release]]]


def statements(release: Release = "0.15.2") -> str:
    """Join the whole schema into SQL text for one call of ``execute``."""
    parts = ("tables.sql", "triggers.sql", f"release_{release.replace('.', '_')}.sql")
    ddl = "\n".join((_DDL / part).read_text("utf-8") for part in parts)
    rows = ", ".join(f"('{name}', now())" for name in migrations(release))
    return f"{ddl}\nINSERT INTO blnk.gorp_migrations (id, applied_at) VALUES {rows};\n"


async def apply(connection: Connection, release: Release = "0.15.2") -> None:
    """Create the schema in an empty database."""
    await connection.execute(statements(release))
