"""What a connection pooler says for itself, in place of PostgreSQL.

Source: PgBouncer 1.18 to 1.24, ``src/client.c``, ``src/objects.c`` and ``src/janitor.c``.
"""

from ..errors import ReadingError, Refused, TimedOut, Unreachable

# PgBouncer gives all its errors one code: protocol_violation.
_CODE = "08P01"
_NOT_LET_IN = "the connection pooler answers, but its own login to PostgreSQL fails"
# Its words, and ours for them. Where it does not reach PostgreSQL, PostgreSQL is down, although something answers.
_WORDS: tuple[tuple[str, type[ReadingError], str], ...] = (
    (
        "statement pooling mode",
        Refused,
        "the connection pooler forbids transactions (pool_mode = statement): transaction or session mode is needed",
    ),
    ("cannot connect to server", Unreachable, "the connection pooler answers, but does not reach PostgreSQL"),
    ("server_login_retry", Unreachable, _NOT_LET_IN),
    ("server login", Unreachable, _NOT_LET_IN),
    ("query_wait_timeout", TimedOut, "the connection pooler had no server connection within its query_wait_timeout"),
    ("query_timeout", TimedOut, "the connection pooler ended the statement by its query_timeout"),
    ("client_login_timeout", TimedOut, "the connection pooler ended the login by its client_login_timeout"),
    ("max_client_conn", Refused, "too many connections to the connection pooler (max_client_conn)"),
    ("no such database", Refused, "the connection pooler does not know the database"),
    ("server conn", Unreachable, "the connection pooler lost its connection to PostgreSQL"),
    ("shut", Unreachable, "the connection pooler is shutting down"),
)


def failure(code: str | None, said: str) -> ReadingError | None:
    """What an error means that only a pooler sends; None for every other one, which may be PostgreSQL's."""
    if code != _CODE:
        return None
    return next((kind(words) for part, kind, words in _WORDS if part in said), None)
