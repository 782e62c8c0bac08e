"""What the tiles say in states that no scenario of the sandbox has, by Prometheus' own word."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from .asking import asked, chosen, marks

pytestmark = pytest.mark.needs("promtool")
# An address that is a class of characters to a regular expression.
INSTANCE = "[::1]:10501"
UNKNOWN = None
UP = {"up": 1}
WATCHDOG = {'ALERTS{alertname="Watchdog",alertstate="firing",service="blnk",severity="none"}': 1}
GUARDED = {
    'blnk_catalog_trigger_active{trigger="prevent_update"}': 1,
    "blnk_ledger_unresolved_transactions": 0,
    'blnk_tables_size_bytes{table="transactions"}': 8192,
}
REDIS = {"blnk_redis_up": 1, "blnk_redis_info": 1, "blnk_redis_loading": 0, 'blnk_redis_role{role="replica"}': 0}
PRIMARY, STANDBY = '{address="a:5432"}', '{address="b:5432"}'
ARCHIVED = {f'blnk_postgres_archive_mode{{address="a:5432",mode="{mode}"}}': mode == "on" for mode in ("on", "off")}
AGE, ARCHIVER = f"address:blnk_postgres_archive_age:seconds{PRIMARY}", f"blnk_postgres_archiver_working{PRIMARY}"
FULL = '{instance="db:9100",path="/"}'


def _alert(name: str, severity: str, component: str, instance: str = INSTANCE) -> dict[str, float]:
    labels = f'alertname="{name}",severity="{severity}",component="{component}",service="blnk"'
    return {f'ALERTS{{{labels},alertstate="firing",instance="{instance}"}}': 1}


CASES: list[tuple[str, str, Mapping[str, float], float | None]] = [
    # An upgraded bank: of currencies nothing is told, by intent.
    ("overview", "Books", {"blnk_books_mismatched_balances": 0}, 0),
    ("overview", "Books", {"blnk_books_mismatched_balances": 2}, 2),
    ("overview", "Books", {"blnk_books_mismatched_balances": 0, "blnk_books_unbalanced_currencies": 1}, 1),
    ("overview", "Books", {"blnk_books_unbalanced_currencies": 0}, UNKNOWN),
    (
        "overview",
        "Books",
        {
            "blnk_books_mismatched_balances": 0,
            'blnk_exporter_fact_missing{collector="books",fact="unbalanced_currencies"}': 1,
        },
        UNKNOWN,
    ),
    ("overview", "Tampering", {**GUARDED, **WATCHDOG}, 0),
    ("overview", "Tampering", {**GUARDED, **WATCHDOG, **_alert("BlnkTablesShrunk", "critical", "tables")}, 1),
    # Nobody judges.
    ("overview", "Tampering", GUARDED, UNKNOWN),
    *(
        (
            *("overview", "Tampering"),
            {name: value for name, value in GUARDED.items() if name != unread} | WATCHDOG,
            UNKNOWN,
        )
        for unread in GUARDED
    ),
    ("overview", "Critical alerts", WATCHDOG, 0),
    ("overview", "Critical alerts", {}, UNKNOWN),
    ("overview", "Critical alerts", {**WATCHDOG, **_alert("BlnkRedisDown", "critical", "redis")}, 1),
    ("overview", "Critical alerts", {**WATCHDOG, **_alert("BlnkRedisDown", "critical", "redis", "other:10501")}, 0),
    ("overview", "Critical alerts", {**WATCHDOG, **_alert("BlnkHostReadOnly", "critical", "host", "db:9100")}, 1),
    ("overview", "Critical alerts", {**WATCHDOG, **_alert("BlnkBackpressure", "critical", "blnk", "api:5001")}, 1),
    ("overview", "Warnings", {**WATCHDOG, **_alert("BlnkRedisSlow", "warning", "redis")}, 1),
    ("overview", "Workers", {"blnk_workers_up": 1, "blnk_workers_servers": 2}, 2),
    ("overview", "Workers", {"blnk_workers_up": 0, "blnk_workers_servers": 2}, 0),
    ("overview", "Workers", {"blnk_workers_up": 1, "blnk_workers_servers": 0}, -1),
    ("overview", "Workers", {"blnk_workers_up": 0, "blnk_workers_servers": 0}, -3),
    # No /health of a worker is configured.
    ("overview", "Workers", {"blnk_workers_servers": 2}, 2),
    ("overview", "Workers", {"blnk_workers_servers": 0}, -3),
    ("overview", "Redis", REDIS, 2),
    ("overview", "Redis", {"blnk_redis_up": 1, "blnk_redis_info": 1}, 2),
    ("overview", "Redis", {"blnk_redis_up": 1}, 5),
    ("overview", "Redis", {"blnk_redis_up": 0}, 0),
    ("overview", "Redis", REDIS | {"blnk_redis_loading": 1}, 1),
    ("overview", "Redis", REDIS | {'blnk_redis_role{role="replica"}': 1}, 4),
    ("overview", "Redis", REDIS | {"blnk_redis_loading": 1, 'blnk_redis_role{role="replica"}': 1}, 3),
    ("redis", "Redis", {"up": 0}, -9),
    (
        "overview",
        "PostgreSQL",
        {
            **{f"blnk_postgres_up{at}": 1 for at in (PRIMARY, STANDBY)},
            **{f"blnk_postgres_in_recovery{at}": 1 for at in (PRIMARY, STANDBY)},
        },
        -1,
    ),
    (
        "overview",
        "PostgreSQL",
        {
            f"blnk_postgres_up{PRIMARY}": 0,
            f"blnk_postgres_up{STANDBY}": 1,
            f"blnk_postgres_in_recovery{STANDBY}": 1,
        },
        -2,
    ),
    ("overview", "PostgreSQL", {f"blnk_postgres_up{PRIMARY}": 1, f"blnk_postgres_in_recovery{PRIMARY}": 0}, 2),
    ("postgres", "Archiving", {**ARCHIVED, ARCHIVER: 1, AGE: 7200}, 1),
    ("postgres", "Archiving", {**ARCHIVED, ARCHIVER: 0, AGE: 600}, 0),
    ("postgres", "Archiving", {**ARCHIVED, ARCHIVER: 0, AGE: 7200}, -1),
    ("postgres", "Archiving", {'blnk_postgres_archive_mode{address="a:5432",mode="off"}': 1}, 2),
    (
        "host",
        "Disks in a day",
        {f"host:blnk_filesystem_used:ratio{FULL}": 1, f"host:blnk_filesystem_available:bytes{FULL}": 0},
        1,
    ),
]


NOW = 8 * 3600
# Asked at steps of a minute, what began within the last three minutes is marked.
STARTED, RESTARTED = "blnk_postgres_start_timestamp_seconds", "blnk_workers_newest_start_timestamp_seconds"
MARKS: list[tuple[str, Mapping[str, float], float | None]] = [
    ("PostgreSQL started", {f"{STARTED}{PRIMARY}": NOW - 170}, 170),
    ("PostgreSQL started", {f"{STARTED}{PRIMARY}": NOW - 190}, UNKNOWN),
    ("Redis started", {"blnk_redis_uptime_seconds": 170}, 170),
    ("Redis started", {"blnk_redis_uptime_seconds": 190}, UNKNOWN),
    ("A worker started", {RESTARTED: NOW - 170}, 170),
    ("A worker started", {RESTARTED: NOW - 190}, UNKNOWN),
    ("Critical alerts", _alert("BlnkRedisDown", "critical", "redis"), 1),
    ("Critical alerts", _alert("BlnkHostReadOnly", "critical", "host", "db:9100"), 1),
    ("Critical alerts", _alert("BlnkRedisDown", "critical", "redis", "other:10501"), UNKNOWN),
    ("Critical alerts", _alert("BlnkRedisSlow", "warning", "redis"), UNKNOWN),
]


def _series(name: str) -> str:
    own = f'job="blnk-exporter",instance="{INSTANCE}"'
    if name.startswith(("ALERTS", "host:")):
        return name
    return name.replace("{", f"{{{own},", 1) if "{" in name else f"{name}{{{own}}}"


def _tile(board: str, title: str) -> str:
    (expr,) = (one.expr for one in asked() if (one.board, one.panel) == (board, title))
    return expr


def _story(what: str, expr: str, told: Mapping[str, float], said: float | None) -> dict[str, object]:
    # Without its labels, which are not what is asked for.
    asked_for = chosen(expr, "15m", instance=INSTANCE, job="blnk-exporter")
    sample = [] if said is UNKNOWN else [{"labels": "{}", "value": said}]
    return {
        "name": f"{what}: {told}",
        "interval": "1m",
        "input_series": [{"series": _series(name), "values": f"{float(value)}x480"} for name, value in told.items()],
        "promql_expr_test": [{"expr": f"max({asked_for})", "eval_time": f"{NOW}s", "exp_samples": sample}],
    }


def _check(stories: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "story.yml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": stories}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "story.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_tiles_say(tmp_path: Path) -> None:
    """Their colours follow from it."""
    _check([_story(f"{board}, {title}", _tile(board, title), *case) for board, title, *case in CASES], tmp_path)


def test_what_is_marked(tmp_path: Path) -> None:
    """Starts, and alerts that call somebody; each of them."""
    expressions = marks()
    assert expressions.keys() == {name for name, *_ in MARKS}
    _check([_story(name, expressions[name], *case) for name, *case in MARKS], tmp_path)
