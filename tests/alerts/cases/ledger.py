"""What becomes of transactions."""

from collections.abc import Mapping

from ..story import LIMITS, Case, Course, Rate, Until

_MINUTE = 60
_QUARTER = 15 * _MINUTE
_HALF_HOUR = 30 * _MINUTE
_WEEK_STEP = 300


def _limit(name: str, level: str = "warning") -> float:
    found = getattr(LIMITS[name], level)
    assert isinstance(found, int | float)
    return found


def _over(metric: str, name: str, *levels: str) -> tuple[Case, ...]:
    """At the limit of each level, and just over it."""
    return tuple(
        Case(quiet={metric: _limit(name, level)}, loud={metric: _limit(name, level) + 1}, severity=level)
        for level in levels
    )


def _outcomes(rejected: float, *, reason: str, total: float) -> Mapping[str, Course]:
    """Counters of a quarter of an hour: so many rejections for one reason among so many outcomes."""
    return {
        f'blnk_ledger_rejections_total{{reason="{reason}"}}': Rate(rejected / _QUARTER),
        'blnk_ledger_transactions_total{status="APPLIED",currency="USD"}': Rate((total - rejected) / _QUARTER),
        'blnk_ledger_transactions_total{status="REJECTED",currency="USD"}': Rate(rejected / _QUARTER),
    }


def _waits(late: float, total: float) -> Mapping[str, Course]:
    """The histogram of a quarter of an hour: so many took longer than the limit, which is an edge of a bucket."""
    counts = {"15.0": total / 2, f"{_limit('ledger.latency'):.1f}": total - late, "60.0": total, "+Inf": total}
    rates: dict[str, Course] = {
        f'blnk_ledger_queue_to_apply_seconds_bucket{{le="{edge}"}}': Rate(count / _QUARTER)
        for edge, count in counts.items()
    }
    return rates | {"blnk_ledger_queue_to_apply_seconds_count": Rate(total / _QUARTER)}


def _moves(each: float) -> Mapping[str, Course]:
    """So many holds and so many applied transactions in half an hour; rejections are no work done."""
    return {
        'blnk_ledger_transactions_total{status="APPLIED",currency="USD"}': Rate(each / _HALF_HOUR),
        'blnk_ledger_transactions_total{status="INFLIGHT",currency="EUR"}': Rate(each / _HALF_HOUR),
        'blnk_ledger_transactions_total{status="REJECTED",currency="USD"}': Rate(1000 / _HALF_HOUR),
    }


_UNRESOLVED = "blnk_ledger_unresolved_oldest_age_seconds"
_WITHOUT_TASK = "blnk_ledger_transactions_without_task"
_DELETED = 'blnk_ledger_journal_changes_total{action="DELETE"}'
_INSERTED = 'blnk_ledger_journal_changes_total{action="INSERT"}'
_KEY = "blnk_ledger_api_key_next_expiry_timestamp_seconds"
_SHARE, _LEAST = _limit("ledger.rejections"), _limit("ledger.rejections_least")
_FEW = _limit("ledger.latency_least")
_THROUGHPUT, _TRAFFIC = _limit("ledger.throughput"), _limit("ledger.throughput_least")

CASES = {
    "BlnkLedgerTransactionsUnresolved": (
        *_over(_UNRESOLVED, "ledger.unresolved_age", "warning", "critical"),
        # Idle: no age is told. Sealing, journal and holds may be as old as they like.
        Case(
            quiet={"blnk_ledger_unresolved_transactions": 0, "blnk_ledger_inflight_oldest_age_seconds": 1e6},
            loud={_UNRESOLVED: _limit("ledger.unresolved_age") + 1},
        ),
    ),
    "BlnkLedgerTransactionsWithoutTask": Case(quiet={_WITHOUT_TASK: 0}, loud={_WITHOUT_TASK: 1}),
    "BlnkLedgerScheduledOverdue": (
        *_over("blnk_ledger_scheduled_overdue_age_seconds", "ledger.scheduled_overdue", "warning", "critical"),
    ),
    "BlnkLedgerHoldsOld": _over("blnk_ledger_inflight_oldest_age_seconds", "ledger.hold_age", "warning"),
    "BlnkLedgerRejections": (
        Case(
            quiet=_outcomes(990 * _SHARE, reason="lock_contention", total=1000),
            loud=_outcomes(1010 * _SHARE, reason="lock_contention", total=1000),
        ),
        # All of a few.
        Case(
            quiet=_outcomes(_LEAST * 0.98, reason="other", total=_LEAST * 0.98),
            loud=_outcomes(_LEAST * 1.05, reason="other", total=_LEAST * 1.05),
        ),
        # A customer without money is no fault.
        Case(
            quiet=_outcomes(900, reason="insufficient_funds", total=1000),
            loud=_outcomes(900, reason="max_retries", total=1000),
        ),
    ),
    "BlnkLedgerLatencyHigh": (
        Case(quiet=_waits(49, 1000), loud=_waits(51, 1000)),
        # All of a few.
        Case(quiet=_waits(_FEW * 0.98, _FEW * 0.98), loud=_waits(_FEW * 1.05, _FEW * 1.05)),
    ),
    "BlnkLedgerThroughputDropped": Case(
        quiet=_moves(_TRAFFIC),
        loud=_moves(_TRAFFIC * _THROUGHPUT * 0.98),
        seconds=4 * 3600,
        step_seconds=_WEEK_STEP,
    ),
    "BlnkLedgerOpenCapped": Case(
        quiet={'blnk_ledger_open_transactions_capped{status="INFLIGHT"}': 0},
        loud={'blnk_ledger_open_transactions_capped{status="INFLIGHT"}': 1},
    ),
    "BlnkLedgerTailBehind": Case(
        quiet={'blnk_ledger_tail_behind_ids{table="transactions"}': 0},
        loud={'blnk_ledger_tail_behind_ids{table="transactions"}': 1},
    ),
    "BlnkLedgerTailDropped": Case(
        quiet={'blnk_ledger_tail_dropped_gaps_total{table="transactions"}': 20_000},
        loud={'blnk_ledger_tail_dropped_gaps_total{table="transactions"}': Rate(1)},
    ),
    "BlnkLedgerClockSkew": (
        *_over("blnk_ledger_clock_skew_seconds", "ledger.clock_skew", "warning"),
        Case(
            quiet={"blnk_ledger_clock_skew_seconds": -_limit("ledger.clock_skew")},
            loud={"blnk_ledger_clock_skew_seconds": -_limit("ledger.clock_skew") - 1},
        ),
    ),
    "BlnkLedgerLineageFailed": (
        Case(
            quiet={
                'blnk_ledger_lineage_entries{state="failed"}': 0,
                'blnk_ledger_lineage_entries{state="pending"}': 1e4,
            },
            loud={'blnk_ledger_lineage_entries{state="failed"}': 1},
        ),
        Case(
            quiet={'blnk_ledger_lineage_entries{state="abandoned"}': 0},
            loud={'blnk_ledger_lineage_entries{state="abandoned"}': 1},
        ),
    ),
    "BlnkLedgerLineageStuck": _over(
        "blnk_ledger_lineage_oldest_pending_age_seconds", "ledger.lineage_pending", "warning"
    ),
    "BlnkLedgerChainHeadInconsistent": (
        Case(quiet={"blnk_ledger_chain_head_consistent": 1}, loud={"blnk_ledger_chain_head_consistent": 0}),
        # A chain that was never on.
        Case(quiet={}, loud={"blnk_ledger_chain_head_consistent": 0}),
    ),
    "BlnkLedgerChainUnsealed": (
        *_over("blnk_ledger_chain_unsealed_age_seconds", "ledger.chain_unsealed", "warning"),
        # An idle ledger seals nothing, and nothing is unsealed.
        Case(
            quiet={"blnk_ledger_chain_last_seal_timestamp_seconds": 1, "blnk_ledger_chain_unsealed_ids": 0},
            loud={"blnk_ledger_chain_unsealed_age_seconds": _limit("ledger.chain_unsealed") + 1},
        ),
    ),
    "BlnkLedgerReconciliationStuck": _over(
        "blnk_ledger_reconciliation_oldest_running_age_seconds", "ledger.reconciliation", "warning"
    ),
    "BlnkLedgerApiKeyExpiring": tuple(
        Case(
            quiet={_KEY: Until(_limit("ledger.api_key_expiry", level))},
            loud={_KEY: Until(_limit("ledger.api_key_expiry", level) - 1)},
            severity=level,
        )
        for level in ("warning", "critical")
    ),
    "BlnkLedgerTransactionsDeleted": (
        # What was deleted long ago is known.
        Case(quiet={_DELETED: 3, _INSERTED: Rate(5)}, loud={_DELETED: Rate(0.01), _INSERTED: Rate(5)}),
        # The first that is seen of the counter is a deletion already.
        Case(quiet={}, loud={_DELETED: 1}, seconds=10 * _MINUTE),
    ),
}
