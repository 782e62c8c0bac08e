"""Panels of what Blnk itself tells show it, as its releases since 0.14 name it: by Prometheus' own word."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from blnk_exporter.render import rules
from blnk_exporter.render.fill import Site

from .asking import asked, chosen

STEP_SECONDS = 300
DAYS = 4
REQUESTS = 'http_server_duration_milliseconds_count{job="blnk",instance="api:5001",http_status_code="%s"}'
# A server that fails now and then, refuses some and was started again.
TOLD = {
    REQUESTS % "200": "0+300x{}",
    REQUESTS % "201": "0+60x{}",
    REQUESTS % "500": "0+3x{}",
    'blnk_queue_backpressure_rejected_total{job="blnk",instance="api:5001"}': "0+1x{}",
    'process_start_time_seconds{job="blnk",instance="api:5001"}': "1+0x{}",
    'up{job="blnk",instance="api:5001"}': "1+0x{}",
}
NATIVE = [one for one in asked() if "$blnk_job" in one.expr]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus is not here")
def test_blnks_own_metrics_are_shown(tmp_path: Path) -> None:
    """Each query of them gives something, after days, which is what the longest of them look back at."""
    assert len(NATIVE) > 8
    (template,) = (template for template in rules.templates() if template.name == "blnk")
    (tmp_path / "blnk.rules.yml").write_text(rules.render(template, Site()))
    steps = DAYS * 86400 // STEP_SECONDS
    queries = [chosen(one.expr, "15m", blnk_job="blnk") for one in NATIVE]
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
    content = {"rule_files": ["blnk.rules.yml"], "evaluation_interval": f"{STEP_SECONDS}s", "tests": [story]}
    (tmp_path / "story.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "story.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
