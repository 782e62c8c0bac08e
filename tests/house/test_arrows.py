"""The house of __init__.py's drawing: who may import whom, and where each library lives."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import blnk_exporter

PACKAGE = Path(blnk_exporter.__file__).parent
# Each row may import the rows above it and itself.
ROWS = (
    "errors metric right collector table quantity json_answer",
    "formats config health postgres_facts ledger_facts thresholds figures history",
    "clients",
    "collectors",
    "flight scrape news",
    "exposition service fleet render",
    "web serve notify watchdog line_writer ping sandbox",
    "cli demo demo_alerts log __main__",
)
RANK = {name: rank for rank, names in enumerate(ROWS) for name in names.split()}
# One library, one home, so that it can be exchanged and its failures are translated in one place.
HOMES = {
    "bcrypt": {"formats/password.py"},
    "asyncpg": {"clients/postgres.py", "clients/postgres_login.py", "sandbox"},
    "redis": {"clients/redis.py", "clients/redis_wire.py", "sandbox"},
    "aiohttp": {"clients/http.py", "web", "serve.py", "sandbox", "demo_alerts.py"},
    "prometheus_client": {"exposition.py"},
    "psutil": {"clients/files.py"},
    "yaml": {"config", "render"},
    "markdown_it": {"web/runbook.py"},
    "dotenv": {"config/target.py"},
    "pydantic": {"config", "formats", "clients"},
    "click": {"cli", "demo.py", "demo_alerts.py"},
    "structlog": {"fleet.py", "web/door.py", "scrape.py", "news.py", "service.py", "serve.py", "log.py", "watchdog.py"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path: Path) -> str:
    """The top-level part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """The full dotted names, below the package, of what a file imports from it."""
    package = list(path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names if alias.name != "__version__")


def foreign_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def breaches(source: str, path: Path) -> list[str]:
    """What a file with this text would do against the house."""
    tree, here, found = ast.parse(source), room(path), []
    for target in own_imports(tree, path):
        there = target.partition(".")[0]
        if there not in RANK:
            found.append(f"{path}: {there} has no place in the drawing")
        elif RANK[there] > RANK[here]:
            found.append(f"{path}: {here} must not import {there}")
        elif there == "sandbox" and here not in {"sandbox", "demo", "demo_alerts"}:
            found.append(f"{path}: only demo and the tests know the sandbox")
        elif here == there == "collectors" and path.name != "__init__.py":
            found.append(f"{path}: rooms do not know each other")
        elif there == "clients" and here == "collectors" and path.name != "__init__.py":
            found.append(f"{path}: a room knows a protocol, not a client")
    place = path.relative_to(PACKAGE).as_posix()
    for library in foreign_imports(tree):
        homes = HOMES.get(library)
        if homes and not any(place == home or place.startswith(f"{home}/") for home in homes):
            found.append(f"{path}: {library} lives in {', '.join(sorted(homes))}")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_keeps_to_the_drawing(path: Path) -> None:
    """Arrows that run both ways are how a house becomes a heap."""
    assert breaches(path.read_text(), path) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("metric.py", "from .scrape import Scraper"),
        ("formats/asynq.py", "from ..clients import Clients"),
        ("collectors/queues.py", "from . import workers"),
        ("collectors/queues.py", "from ..clients.redis import RedisClient"),
        ("cli/serve.py", "from ..sandbox import running"),
        ("collectors/redis.py", "import redis.asyncio"),
        ("scrape.py", "from .attic import things"),
    ],
)
def test_a_breach_is_seen(place: str, source: str) -> None:
    """A guard that cannot bark guards nothing."""
    assert len(breaches(source, PACKAGE / place)) == 1


def test_every_dependency_has_a_home() -> None:
    """A library that nobody imports, or that has no home, is not ours."""
    imported = {name for path in modules() for name in foreign_imports(ast.parse(path.read_text()))}
    assert set(HOMES) <= imported
