"""What lasts only a moment, or is a matter of course, raises nothing at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from blnk_exporter.render import fill, rules

from .story import LIMITS, STEP_SECONDS, Course, Rate, course
from .test_rules import needs_promtool, promtool

Phases = Sequence[tuple[Course, int]]
HOUR = 3600
_FILLING = LIMITS["host.disk_filling"].warning or 0
_SIZE = 1_000_000


def _postgres(name: str) -> str:
    return f'blnk_postgres_{name}{{address="db-1:5432"}}'


def _host(name: str) -> str:
    return f'blnk_host_filesystem_{name}_bytes{{path="/"}}'


def _while(restarts: Course) -> Phases:
    return [(1, HOUR), (restarts, 90), (1, HOUR)]


def _then(before: Course, after: Course) -> Phases:
    return [(before, 7 * HOUR), (after, 7 * HOUR)]


def _begins(at_first: Course, then: Course) -> Phases:
    return [(at_first, 30), (then, HOUR)]


_REFUSED = 'blnk_queue_backpressure_rejected_total{job="blnk-server",instance="blnk:5001"}'
_NATIVE_UP = 'up{job="blnk-server",instance="blnk:5001"}'
STORIES: Mapping[str, tuple[tuple[str, ...], Mapping[str, Phases]]] = {
    "a restart of both databases": (
        ("postgres", "redis"),
        {
            _postgres("up"): _while(0),
            _postgres("in_recovery"): [(0, HOUR), (None, 90), (0, HOUR)],
            "blnk_redis_up": _while(0),
            "blnk_redis_loading": [(0, HOUR), (1, 90), (0, HOUR)],
        },
    ),
    "a scrape that fails": (
        ("postgres", "redis"),
        {
            _postgres("up"): [(1, HOUR), (None, STEP_SECONDS), (1, HOUR)],
            _postgres("in_recovery"): [(0, HOUR), (None, STEP_SECONDS), (0, HOUR)],
            _postgres("standbys"): [(1, HOUR), (None, STEP_SECONDS), (1, HOUR)],
            'blnk_postgres_standby_streaming{address="db-1:5432",standby="db-2"}': [
                (1, HOUR),
                (None, STEP_SECONDS),
                (1, HOUR),
            ],
            "blnk_redis_up": [(1, HOUR), (None, STEP_SECONDS), (1, HOUR)],
            'blnk_redis_replicas{state="online"}': [(2, HOUR), (None, STEP_SECONDS), (2, HOUR)],
        },
    ),
    "a switchover": (
        ("postgres",),
        {
            _postgres("up"): [(1, 2 * HOUR)],
            _postgres("in_recovery"): [(0, HOUR), (1, HOUR)],
            _postgres("standbys"): [(1, HOUR), (0, HOUR)],
            'blnk_postgres_standby_streaming{address="db-1:5432",standby="db-2"}': [(1, HOUR), (None, HOUR)],
            'blnk_postgres_up{address="db-2:5432"}': [(1, 2 * HOUR)],
            'blnk_postgres_in_recovery{address="db-2:5432"}': [(1, HOUR), (0, HOUR)],
        },
    ),
    # Nothing is known of standbys any more, which is no loss of one.
    "a right that is taken away": (
        ("postgres",),
        {
            _postgres("up"): [(1, 2 * HOUR)],
            _postgres("in_recovery"): [(0, 2 * HOUR)],
            _postgres("standbys"): [(1, HOUR), (None, HOUR)],
            'blnk_postgres_standby_streaming{address="db-1:5432",standby="db-2"}': [(1, HOUR), (None, HOUR)],
        },
    ),
    # Of what is down when the exporter looks for the first time nobody knows since when.
    "a deployment that is just being started": (
        ("postgres", "redis", "server", "workers", "queues", "ledger", "tables"),
        {
            _postgres("up"): _begins(0, 1),
            _postgres("in_recovery"): _begins(None, 0),
            "blnk_redis_up": _begins(0, 1),
            "blnk_redis_loading": _begins(1, 0),
            'blnk_server_up{address="blnk:5001"}': _begins(0, 1),
            'blnk_workers_up{address="blnk:5004"}': _begins(0, 1),
            "blnk_workers_servers": _begins(0, 2),
            'blnk_queues_pending_tasks{queue="new:transaction_1"}': _begins(40, 0),
            'blnk_queues_processed_total{queue="new:transaction_1"}': _begins(7, Rate(1)),
            'blnk_ledger_tail_behind_ids{table="transactions"}': _begins(5000, 0),
            'blnk_tables_size_bytes{table="transactions"}': _begins(8192, 16384),
        },
    ),
    # One task in five minutes: at each look one waits.
    "a slow queue that nobody has watched before": (
        ("queues",),
        {
            'blnk_queues_pending_tasks{queue="new:transaction_1"}': [(1, HOUR)],
            'blnk_queues_processed_total{queue="new:transaction_1"}': [(Rate(1 / 240), HOUR)],
        },
    ),
    # Months ago; then Prometheus could not read it for a while.
    "an old refusal and a gap": (
        ("blnk",),
        {
            _REFUSED: [(100, HOUR), (None, 660), (100, HOUR)],
            _NATIVE_UP: [(1, HOUR), (0, 660), (1, HOUR)],
        },
    ),
    "an old refusal and a new Prometheus": (("blnk",), {_REFUSED: [(100, HOUR)], _NATIVE_UP: [(1, HOUR)]}),
    "a replica of Redis that is replaced": (
        ("redis",),
        {'blnk_redis_replicas{state="online"}': [(2, 3 * HOUR), (3, 600), (2, 3 * HOUR)]},
    ),
    # At the floor exactly: as steep as it may be, there is room enough.
    "a disk that fills and has room": (
        ("host",),
        {
            _host("size"): [(_SIZE, 14 * HOUR)],
            _host("free"): _then(_SIZE, _SIZE * (1 - _FILLING)),
            _host("available"): _then(_SIZE, _SIZE * (1 - _FILLING)),
        },
    ),
    "a database that nobody uses": (
        ("postgres",),
        {
            _postgres("up"): [(1, 3 * HOUR)],
            _postgres("in_recovery"): [(0, 3 * HOUR)],
            _postgres("last_archived_timestamp_seconds"): [(0, 3 * HOUR)],
            _postgres("archiver_working"): [(1, 3 * HOUR)],
            _postgres("wal_bytes_total"): [(Rate(1), 3 * HOUR)],
            _postgres("archived_segments_total"): [(4, 3 * HOUR)],
            'blnk_postgres_archive_mode{address="db-1:5432",mode="on"}': [(1, 3 * HOUR)],
        },
    ),
}


@needs_promtool
@pytest.mark.parametrize("name", STORIES)
def test_nothing_is_raised(name: str, tmp_path: Path) -> None:
    """At no moment of it, neither a page nor a ticket."""
    files, told = STORIES[name]
    for template in rules.templates():
        if template.name in files:
            (tmp_path / f"{template.name}.rules.yml").write_text(rules.render(template, fill.Site()))
    lasts = max(sum(length for _, length in phases) for phases in told.values())
    # promtool looks at each step of it.
    step = STEP_SECONDS if lasts < 5 * HOUR else 60
    # `vector` keeps the answer from being empty, which would be no proof that anything was looked at.
    fired = 'count(max_over_time(ALERTS{alertstate="firing",severity!="info"}[1d])) or vector(0)'
    looks = [
        {"expr": fired, "eval_time": f"{lasts - step}s", "exp_samples": [{"labels": "{}", "value": 0}]},
        {
            "expr": 'count({__name__=~"blnk_.*"}) > bool 0',
            "eval_time": "60s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        },
    ]
    story = {
        "rule_files": [f"{file}.rules.yml" for file in files],
        "evaluation_interval": f"{step}s",
        "tests": [
            {
                "interval": f"{step}s",
                "input_series": [course(series, list(phases), step) for series, phases in told.items()],
                "promql_expr_test": looks,
            }
        ],
    }
    (tmp_path / "story.yml").write_text(yaml.safe_dump(story))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "story.yml"))
