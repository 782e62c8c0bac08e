"""Blnk's tables as PostgreSQL counts them."""

from ..story import LIMITS, Case, Rate

_SHRUNK = LIMITS["tables.shrunk"].critical or 0
_SHARE, _LEAST = LIMITS["tables.dead"].warning or 0, LIMITS["tables.dead_least"].warning or 0


def _of(name: str, table: str) -> str:
    return f'blnk_tables_{name}{{address="db:5432",table="{table}"}}'


def _dead(total: float, share: float) -> dict[str, float]:
    return {_of("dead_rows", "balances"): total * share, _of("live_rows", "balances"): total * (1 - share)}


CASES = {
    "BlnkTablesRowsDeleted": (
        # Accounts and the like may go.
        Case(
            quiet={_of("rows_deleted_total", "transactions"): 7, _of("rows_deleted_total", "accounts"): Rate(1)},
            loud={_of("rows_deleted_total", "transactions"): Rate(0.01)},
        ),
        Case(
            quiet={_of("rows_deleted_total", "transaction_journal"): 0},
            loud={_of("rows_deleted_total", "transaction_journal"): Rate(0.01)},
        ),
    ),
    "BlnkTablesShrunk": tuple(
        Case(
            quiet={_of("size_bytes", table): _SHRUNK * 1e6, _of("size_bytes", "accounts"): 0},
            loud={_of("size_bytes", table): _SHRUNK * _SHRUNK * 0.999e6},
            seconds=600,
            calm_seconds=90_000,
            step_seconds=300,
        )
        for table in ("transactions", "transaction_journal", "balances")
    ),
    "BlnkTablesDeadRows": (
        Case(quiet=_dead(_LEAST * 10, _SHARE - 0.001), loud=_dead(_LEAST * 10, _SHARE + 0.001)),
        # Most of a small table.
        Case(quiet=_dead(_LEAST / 0.9, 0.9 - 0.001), loud=_dead(_LEAST / 0.9, 0.9 + 0.001)),
    ),
}
