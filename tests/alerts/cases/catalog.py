"""Migrations, ids, triggers and indexes of Blnk's schema."""

from ..story import LIMITS, Case

_GUARD = 'blnk_catalog_trigger_active{trigger="prevent_transaction_update_trigger"}'
_JOURNAL = 'blnk_catalog_trigger_active{trigger="log_transaction_changes_trigger"}'
_SIDE = 'blnk_catalog_trigger_active{trigger="balance_after_insert"}'
_IDS = 'blnk_catalog_ids_used_ratio{table="transactions"}'


def _release(name: str) -> str:
    return f'blnk_catalog_release{{release="{name}"}}'


def _used(level: str) -> Case:
    limit = getattr(LIMITS["catalog.ids_used"], level)
    return Case(quiet={_IDS: limit}, loud={_IDS: limit + 0.01}, severity=level)


CASES = {
    "BlnkCatalogTriggerMissing": (
        Case(quiet={_GUARD: 1, _SIDE: 0}, loud={_GUARD: 0}),
        Case(quiet={_JOURNAL: 1}, loud={_JOURNAL: 0}),
    ),
    "BlnkCatalogSideTriggerMissing": Case(quiet={_SIDE: 1, _GUARD: 0}, loud={_SIDE: 0}),
    "BlnkCatalogInvalidIndex": Case(
        quiet={"blnk_catalog_invalid_indexes": 0}, loud={"blnk_catalog_invalid_indexes": 1}
    ),
    "BlnkCatalogIdsRunningOut": (_used("warning"), _used("critical")),
    "BlnkCatalogMigrationIncomplete": Case(
        quiet={_release("between"): 0, _release("newer"): 1}, loud={_release("between"): 1}
    ),
    "BlnkCatalogReleaseUnknown": (
        Case(quiet={_release("newer"): 0, _release("0.15.0 to 0.15.2"): 1}, loud={_release("newer"): 1}),
        Case(
            quiet={_release("before 0.13.2"): 0, _release("0.13.2 to 0.14.5"): 1}, loud={_release("before 0.13.2"): 1}
        ),
    ),
    "BlnkCatalogMigrationChanged": Case(
        quiet={"blnk_catalog_migrations_applied": 33},
        loud={"blnk_catalog_migrations_applied": 37},
        seconds=30 * 60,
    ),
}
