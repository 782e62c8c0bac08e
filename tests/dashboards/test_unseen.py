"""Panels of what no sandbox has would show it: Blnk's own metrics since 0.14, replicas, archives; by Prometheus' own word."""

import subprocess
from pathlib import Path

import pytest
import yaml

from blnk_exporter.render import rules
from blnk_exporter.render.fill import Site

from .asking import UNSEEN, asked, chosen

STEP_SECONDS = 300
DAYS = 8
REQUESTS = 'http_server_duration_milliseconds_count{job="blnk",instance="api:5001",http_status_code="%s"}'
OURS = 'job="blnk-exporter",instance="exporter:10501"'
DATABASE = f'{OURS},address="db:5432"'
# A server that fails now and then, refuses some and was started again.
TOLD = {
    REQUESTS % "200": "0+300x{}",
    REQUESTS % "201": "0+60x{}",
    REQUESTS % "500": "0+3x{}",
    'blnk_queue_backpressure_rejected_total{job="blnk",instance="api:5001"}': "0+1x{}",
    'process_start_time_seconds{job="blnk",instance="api:5001"}': "1+0x{}",
    'up{job="blnk",instance="api:5001"}': "1+0x{}",
}
TOLD |= {
    f'blnk_ledger_transactions_total{{{OURS},status="APPLIED",currency="USD"}}': "0+900x{}",
    f"blnk_postgres_start_timestamp_seconds{{{DATABASE}}}": "1+0x{}",
    f"blnk_postgres_in_recovery{{{DATABASE}}}": "0+0x{}",
    f'blnk_postgres_archive_mode{{{DATABASE},mode="on"}}': "1+0x{}",
    f"blnk_postgres_archiver_working{{{DATABASE}}}": "1+0x{}",
    f"blnk_postgres_checksum_failures_total{{{DATABASE}}}": "0+1x{}",
    f"blnk_postgres_replica_lag_seconds{{{DATABASE}}}": "3+0x{}",
    f"blnk_postgres_standby_replay_lag_seconds{{{DATABASE}}}": "3+0x{}",
    f'blnk_statements_seconds_total{{{DATABASE},role="blnk"}}': "0+1x{}",
    f'blnk_statements_calls_total{{{DATABASE},role="blnk"}}': "0+90x{}",
    f'blnk_queues_last_archived_timestamp_seconds{{{OURS},queue="new:transaction_1"}}': "1+0x{}",
    **{
        f"blnk_redis_{name}{{{OURS}}}": "1+0x{}"
        for name in (
            *("primary_link_up", "replication_lag_bytes", "replication_lag_seconds", "last_fork_seconds"),
            *("rdb_last_save_duration_seconds", "aof_last_rewrite_ok", "aof_last_write_ok", "rdb_last_save_ok"),
        )
    },
}
RULES = ("blnk", "ledger", "postgres", "statements")
ASKED = [one for one in asked() if "$blnk_job" in one.expr or (one.board, one.panel) in UNSEEN]


@pytest.mark.needs("promtool")
def test_what_no_scenario_has_is_shown(tmp_path: Path) -> None:
    """Each query gives something, after the days that the longest of them looks back."""
    assert {(one.board, one.panel) for one in ASKED} >= UNSEEN.keys()
    for template in rules.templates():
        if template.name in RULES:
            # No alert is asked for, and each would take its time.
            (group,) = yaml.safe_load(rules.render(template, Site()))["groups"]
            group["rules"] = [rule for rule in group["rules"] if "record" in rule]
            (tmp_path / f"{template.name}.rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    steps = DAYS * 86400 // STEP_SECONDS
    queries = [chosen(one.expr, "15m", blnk_job="blnk", instance="exporter:10501") for one in ASKED]
    story = {
        "interval": f"{STEP_SECONDS}s",
        "input_series": [{"series": name, "values": values.format(steps)} for name, values in TOLD.items()],
        "promql_expr_test": [
            {
                "expr": f"(count({query}) or vector(0)) > bool 0",
                "eval_time": f"{DAYS}d",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
            for query in queries
        ],
    }
    content = {
        "rule_files": [f"{name}.rules.yml" for name in RULES],
        "evaluation_interval": f"{STEP_SECONDS}s",
        "tests": [story],
    }
    (tmp_path / "story.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "story.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
