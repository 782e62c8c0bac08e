"""BlnkLedgerThroughputDropped compares two times, which one story of quiet and loud cannot tell apart."""

from pathlib import Path

import yaml

from blnk_exporter.render import fill, rules

from .story import LIMITS, Rate, course, found
from .test_rules import needs_promtool, promtool

_STEP = 300
_WEEK, _AFTER = 7 * 86_400, 2 * 3600
_HALF_HOUR = 1800
_SHARE = LIMITS["ledger.throughput"].warning or 0
_LEAST = LIMITS["ledger.throughput_least"].warning or 0
# Moves in half an hour, last week and now.
_LEDGERS = {
    "as-ever": (_LEAST * 10, _LEAST * 10),
    "just-enough": (_LEAST * 10, _LEAST * 10 * _SHARE * 1.01),
    "too-few": (_LEAST * 10, _LEAST * 10 * _SHARE * 0.99),
    "was-busy-just-enough": (_LEAST * 1.01, 0),
    "was-never-busy": (_LEAST * 0.99, 0),
    "new": (None, _LEAST),
}


@needs_promtool
def test_only_a_ledger_that_was_busy_a_week_ago_can_be_less_so(tmp_path: Path) -> None:
    """Each beside the others; one that has no last week is not judged."""
    (template, _) = found("BlnkLedgerThroughputDropped")
    (tmp_path / "ledger.rules.yml").write_text(rules.render(template, fill.Site()))
    series = [
        course(
            f'blnk_ledger_transactions_total{{job="{ledger}",status="APPLIED",currency="USD"}}',
            [
                (None if moves is None else Rate(moves / _HALF_HOUR), length)
                for moves, length in ((before, _WEEK), (now, _AFTER))
            ],
            _STEP,
        )
        for ledger, (before, now) in _LEDGERS.items()
    ]
    firing = 'count by (job) (ALERTS{alertname="BlnkLedgerThroughputDropped",alertstate="firing"})'
    wanted = [{"labels": f'{{job="{ledger}"}}', "value": 1} for ledger in ("too-few", "was-busy-just-enough")]
    story = {
        "rule_files": ["ledger.rules.yml"],
        "evaluation_interval": f"{_STEP}s",
        "tests": [
            {
                "interval": f"{_STEP}s",
                "input_series": series,
                "promql_expr_test": [
                    {"expr": firing, "eval_time": f"{_WEEK + _AFTER - _STEP}s", "exp_samples": wanted},
                    {"expr": firing, "eval_time": f"{_WEEK - _STEP}s", "exp_samples": []},
                ],
            }
        ],
    }
    (tmp_path / "story.yml").write_text(yaml.safe_dump(story))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "story.yml"))
