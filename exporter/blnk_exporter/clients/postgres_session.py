"""Sessions of PostgreSQL that are what we asked for: pinned settings, read back; one transaction each behind a pooler.

A pooler in transaction mode (PgBouncer, Odyssey, PgCat, Supavisor, RDS Proxy) gives each transaction a server session of
its choice. What was asked for at the login is not in force there, and a prepared statement may be gone, or another
client's. So behind a pooler nothing is prepared by name, and each statement has a transaction that brings its settings.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Refused
from ..json_answer import read_object

NAME = "blnk_exporter"
# What our statements depend on, in the words of pg_settings. A server, a database or a role may set each of them otherwise.
_PINNED = {
    "application_name": NAME,
    # A name that is not qualified means PostgreSQL's own object.
    "search_path": "pg_catalog",
    # PostgreSQL refuses what a policy could filter. Otherwise rows that are hidden from us count as none.
    "row_security": "off",
    "lock_timeout": "200",
    "jit": "off",
    # Nothing of ours is planned better for being told its argument, and to plan takes longer than to run.
    "plan_cache_mode": "force_generic_plan",
    # How values are written and read. Not TimeZone: Blnk has columns without a zone whose default is now(), so they hold the
    # time of the database's zone and must be read in it.
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}
# Serializable is refused by a standby, and disturbs Blnk's own transactions on a primary; deferrable waits for them.
_TRANSACTION = {
    "transaction_isolation": "read committed",
    "transaction_read_only": "on",
    "transaction_deferrable": "off",
}
# Since PostgreSQL 17; an older server would refuse a login that asks for it.
_SINCE_17 = {"transaction_timeout": "0"}
# The driver asks for it at each login.
_ENCODING = {"client_encoding": "UTF8"}
_BEGIN = "BEGIN READ ONLY ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE"
# Says to our own statements whether we are encrypted up to the pooler: pg_stat_ssl knows the pooler's session.
_TLS = f"{NAME}.session_tls"
# As many as the driver keeps without being told.
_PREPARED_MAX = 100
_READ_BACK = """
    SELECT pg_catalog.json_build_object('pid', pg_catalog.pg_backend_pid(), 'settings', (
        SELECT pg_catalog.json_object_agg(name, setting) FROM pg_catalog.pg_settings
        WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY[{names}])))
"""


# Tables that this transaction has read, by its locks, and of which policies may show us a part. The locks keep the policies
# as they were for the statement. A policy shows all rows where its condition is true, and none restricts it.
_HIDDEN = """
    SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid)
    FROM pg_class c
    WHERE c.oid IN (SELECT relation FROM pg_locks WHERE locktype = 'relation' AND pid = pg_backend_pid()
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND c.relrowsecurity AND row_security_active(c.oid)
      AND (SELECT bool_or(pg_get_expr(polqual, polrelid) = 'true') FILTER (WHERE polpermissive) IS NOT TRUE
               OR bool_or(pg_get_expr(polqual, polrelid) <> 'true') FILTER (WHERE NOT polpermissive) IS TRUE
           FROM pg_policy WHERE polrelid = c.oid AND polcmd IN ('r', '*')
             AND EXISTS (SELECT FROM unnest(polroles) AS r(role) WHERE role = 0 OR pg_has_role(role, 'USAGE')))
"""


class SettingsRefused(Refused):
    """A login that was refused for the settings that it asked for, as poolers do."""


class SharedSession(Refused):
    """A session that turned out to be other clients' as well."""


class PoliciesMet(Refused):
    """A statement on a table with row-level security, in a session that PostgreSQL may not filter."""


@dataclass(frozen=True)
class SafeSession:
    """A login, and how a statement is run in it.

    ``begin`` opens the transaction that each statement needs behind a pooler, or where policies are to be judged; None
    where the session is ours alone.
    """

    connection: Any
    begin: str | None = None
    judges_policies: bool = False

    async def fetchval(self, sql: str, arguments: tuple[str | None, ...]) -> Any:
        """The one value of a statement; raises what the driver raises, and Refused for rows that policies may hide."""
        if self.begin is None:
            return await self.connection.fetchval(sql, *arguments)
        async with self.transaction():
            value = await self.connection.fetchval(sql, *arguments)
            hidden = await self.connection.fetchval(_HIDDEN) if self.judges_policies else None
            if hidden:
                raise Refused(
                    f"row-level security hides rows of {hidden}: give the exporter's role a policy FOR SELECT USING (true) "
                    "on each of them, or BYPASSRLS"
                )
        return value

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Rolled back on a failure; where that fails as well, the connection ends, and its transaction with it."""
        try:
            await self.connection.execute(self.begin)
            yield
        except Exception:
            try:
                await self.connection.execute("ROLLBACK")
            except Exception:  # noqa: BLE001 - what has failed before is what the caller has to know
                self.connection.terminate()
            raise
        await self.connection.execute("COMMIT")


class Sessions:
    """Opens sessions at one address, and remembers whether a pooler is in between.

    ``connect`` logs in with settings and with the number of statements that the driver may keep prepared.
    """

    def __init__(
        self, connect: Callable[[dict[str, str], int], Awaitable[Any]], statement_timeout_seconds: float
    ) -> None:
        milliseconds = str(int(statement_timeout_seconds * 1000))
        timeouts = {"statement_timeout": milliseconds, "idle_in_transaction_session_timeout": milliseconds}
        self._pinned = _PINNED | timeouts
        self._connect = connect
        self._pooled = False
        self._shared = False
        self._judges_policies = False

    async def open(self) -> SafeSession:
        """A direct session where there is one; otherwise one whose transactions bring their settings.

        Raises what ``connect`` raises, and Refused where the settings are not in force even so.
        """
        if self._pooled or self._judges_policies:
            session, own = await self._open_pooled()
            if self._shared or self._judges_policies or not own:
                return session
            # PostgreSQL itself answers there now.
            session.connection.terminate()
        with contextlib.suppress(SettingsRefused):
            if direct := await self._open_own():
                self._pooled = False
                return direct
        self._pooled = True
        return (await self._open_pooled())[0]

    def lost_statement(self) -> None:
        """Note that a prepared statement was gone, or another client's: a pooler, whatever it says at the login."""
        self._pooled = self._shared = True

    def meet_policies(self) -> None:
        """Let PostgreSQL filter from now on, and judge the policies behind each statement: they may show us all rows."""
        self._judges_policies = True

    async def _open_own(self) -> SafeSession | None:
        """None where the login is not one backend's, or not as it was asked for."""
        asked = self._pinned | {f"default_{name}": value for name, value in _TRANSACTION.items()}
        connection = await self._connect(asked, _PREPARED_MAX)
        async with _kept_if_whole(connection):
            later = _of_version(connection)
            pid, found = await _read_back(connection, [*asked, *_ENCODING, *later])
            if pid != connection.get_server_pid() or _differing(asked | _ENCODING, found):
                connection.terminate()
                return None
            if _differing(later, found):
                await connection.execute(_sets("SET", later))
            return SafeSession(connection)

    async def _open_pooled(self) -> tuple[SafeSession, bool]:
        """A session of transactions, and whether the login was one backend's own all the same."""
        # PgBouncer takes the driver's own way of naming the encoding for another one, and sets it for each transaction.
        connection = await self._connect({"application_name": NAME} | _ENCODING, 0)
        async with _kept_if_whole(connection):
            brought = self._pinned | _ENCODING | _of_version(connection)
            brought["row_security"] = "on" if self._judges_policies else "off"
            begin = f"{_BEGIN}; {_sets('SET LOCAL', brought | {_TLS: 'on' if connection.is_encrypted else 'off'})}"
            session = SafeSession(connection, begin, self._judges_policies)
            wanted = brought | _TRANSACTION
            async with session.transaction():
                pid, found = await _read_back(connection, [*wanted])
            for name in _differing(wanted, found):
                raise Refused(
                    f'the session has {name} = "{found.get(name)}" instead of "{wanted[name]}": something between the '
                    "exporter and PostgreSQL drops settings; name PostgreSQL itself"
                )
            return session, pid == connection.get_server_pid()


def _of_version(connection: Any) -> dict[str, str]:
    return _SINCE_17 if connection.get_server_version().major >= 17 else {}


def _sets(how: str, settings: Mapping[str, str]) -> str:
    return "; ".join(f"{how} {name} = '{value}'" for name, value in settings.items())


def _differing(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [name for name, value in wanted.items() if found.get(name) != value]


async def _read_back(connection: Any, names: Sequence[str]) -> tuple[int, dict[str, str]]:
    """The process id of the backend that answers, and what these settings are there."""
    listed = ", ".join(f"'{name}'" for name in names)
    answer = read_object(await one_line(connection, _READ_BACK.format(names=listed)))
    return answer["pid"], answer["settings"]


async def one_line(connection: Any, sql: str) -> str:
    """The one line of text that a statement returns, in one message and without a prepared statement.

    So every kind of pooler passes it on, at any time.
    """
    said = bytearray()

    async def take(part: bytes) -> None:
        said.extend(part)

    await connection.copy_from_query(sql, output=take)
    # COPY doubles each backslash, and ends the line; a text of one line holds nothing else that it would change.
    return said.decode().rstrip("\n").replace("\\\\", "\\")


@contextlib.asynccontextmanager
async def _kept_if_whole(connection: Any) -> AsyncIterator[None]:
    """End the connection where its check fails, or the caller leaves."""
    try:
        yield
    except BaseException:
        connection.terminate()
        raise
