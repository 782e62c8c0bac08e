"""Whether the books balance."""

from ..story import LIMITS, Ago, Case

_AGE = LIMITS["books.age"].warning or 0
_BOOKS = 'blnk_exporter_collector_last_success_timestamp_seconds{collector="books"}'
_OTHER = 'blnk_exporter_collector_last_success_timestamp_seconds{collector="tables"}'

CASES = {
    "BlnkBooksBalancesMismatched": Case(
        quiet={"blnk_books_mismatched_balances": 0, "blnk_books_balances": 1e6},
        loud={"blnk_books_mismatched_balances": 1},
    ),
    "BlnkBooksCurrenciesUnbalanced": (
        Case(quiet={"blnk_books_unbalanced_currencies": 0}, loud={"blnk_books_unbalanced_currencies": 1}),
        # Where exchange rates may have left sums open, no number is told.
        Case(quiet={"blnk_books_mismatched_balances": 0}, loud={"blnk_books_unbalanced_currencies": 1}),
    ),
    "BlnkBooksStale": Case(quiet={_BOOKS: Ago(_AGE), _OTHER: Ago(1e6)}, loud={_BOOKS: Ago(_AGE + 1)}),
}
