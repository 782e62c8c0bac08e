"""Facts that come as rows: one select per fact, columns mapped to metrics by name, all facts in one statement."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from .collector import Gap
from .errors import Locked, Malformed, ReadingError, Refused
from .json_answer import read_object
from .metric import Metric, Sample

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]

# What a part of the statement gives instead of rows when its role is missing; no fact is a plain string.
_NO_RIGHT = "no right"
# A tuple: a union would be built again for each value.
_NUMBERS = (int, float, type(None))


class Database(Protocol):
    """One PostgreSQL server, as a room sees it."""

    @property
    def address(self) -> str:
        """``host:port``."""
        ...

    async def version(self) -> int:
        """``server_version_num`` without the minor part."""
        ...

    async def fetch_text(self, sql: str, *arguments: str | None) -> str:
        """The one text value of a statement; raises ReadingError."""
        ...


@dataclass(frozen=True)
class Table:
    """One fact: what to select, which columns are labels, which are metrics.

    ``sql`` maps the first server version that a text is for to the text; a server older than all of them does not
    have the fact. ``$1`` in a text is the reader's argument. ``states`` are columns with a closed set of values:
    one series per value, 1 for the true one. ``needs`` is a predefined role without which the server shows only
    part of the truth. A column ``gap`` is no metric: where it is not NULL, it says in words what its row cannot tell.
    """

    name: str
    sql: Mapping[int, str]
    columns: Mapping[str, Metric] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    states: Mapping[str, tuple[Metric, tuple[str, ...]]] = field(default_factory=dict)
    needs: str = ""

    def text(self, version: int) -> str | None:
        """The select for this server, None when the server is too old for the fact."""
        fitting = [first for first in self.sql if first <= version]
        return self.sql[max(fitting)] if fitting else None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What this table can yield."""
        return (*self.columns.values(), *(metric for metric, _ in self.states.values()))

    @cached_property
    def _declared(self) -> frozenset[str]:
        return frozenset((*self.labels, *self.columns, *self.states))

    def check(self, rows: Sequence[Row]) -> None:
        """Raise Malformed for rows that cannot become samples; columns beyond the declared ones do no harm."""
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Malformed(f"{self.name}: the server's answer is not a list of rows")
        for row in rows:
            if not self._declared <= row.keys():
                missing = sorted(self._declared - row.keys())
                raise Malformed(f"{self.name}: the server's answer lacks {', '.join(missing)}")
            for column in self.columns:
                if not isinstance(row[column], _NUMBERS):
                    raise Malformed(f"{self.name}: {column} is not a number in the server's answer")

    def samples(self, rows: Sequence[Row], address: str) -> Iterator[Sample]:
        """What the rows say; a NULL says nothing. ``address`` is told by the metrics that have it as a label."""
        for row in rows:
            known = {"address": address} | {label: str(row[label]) for label in self.labels}
            # Most metrics of a table have the same labels, and many columns of a row are NULL.
            values_of: dict[tuple[str, ...], tuple[str, ...]] = {}
            for column, metric in self.columns.items():
                if (number := row[column]) is not None:
                    names = metric.labels
                    values = values_of.get(names) or values_of.setdefault(names, tuple(map(known.__getitem__, names)))
                    yield from metric.at(values, number)
            for column, (metric, values) in self.states.items():
                labels = tuple(map(known.__getitem__, metric.labels[:-1]))
                for value in values if row[column] is not None else ():
                    yield from metric.at((*labels, value), row[column] == value)


class TableReader:
    """Reads tables of one server with one statement, and one fact less where the server refuses one.

    When the whole statement fails, each fact is asked for alone, once; what the server refused is then left out
    for ``retry_seconds``, so that ordinary scrapes stay at one statement. A lock is soon gone, so what it held is
    asked for again by the next reading. Where nothing at all was given, the facts are not asked for one by one
    again for as long: until then a reading is one statement, and the first that succeeds ends the wait.
    """

    def __init__(self, database: Database, *, argument: str | None = None, retry_seconds: float = 300.0) -> None:
        self.address = database.address
        self._database = database
        self._argument = argument
        self._retry_seconds = retry_seconds
        self._refused: dict[str, tuple[float, Gap]] = {}
        self._nothing: tuple[float, type[ReadingError]] | None = None

    async def read(
        self, tables: Iterable[Table], *, now: float, argument: str | None = None
    ) -> tuple[Rows, tuple[Gap, ...]]:
        """Rows by table name, and a gap for each fact that could not be had. ``now`` is a monotonic clock's seconds.

        ``argument`` replaces the one that the reader was made with. Raises the ReadingError when the server gave
        nothing at all.
        """
        self._argument = self._argument if argument is None else argument
        version = await self._database.version()
        self._refused = {name: kept for name, kept in self._refused.items() if kept[0] > now}
        wanted = {table.name: table for table in tables if table.text(version)}
        asked = [table for name, table in wanted.items() if name not in self._refused]
        try:
            rows, gaps = await self._fetch(asked, version)
        except (Refused, Malformed, Locked) as error:
            if self._nothing and now < self._nothing[0] and type(error) is self._nothing[1]:
                raise
            # All of them: why one was refused before may not be the reason any more.
            self._refused.clear()
            rows, gaps = await self._one_by_one([*wanted.values()], version, error, now)
        self._nothing = None
        return rows, (*gaps, *(gap for name, (_, gap) in self._refused.items() if name in wanted))

    async def _fetch(self, tables: Sequence[Table], version: int) -> tuple[Rows, list[Gap]]:
        text = await self._database.fetch_text(_statement(tables, version), self._argument)
        answer, rows, gaps = read_object(text), {}, []
        for table in tables:
            if table.name not in answer:
                raise Malformed(f"{table.name}: the server's answer lacks it")
            if answer[table.name] == _NO_RIGHT:
                gaps.append(Gap(table.name, Refused.reason, f"needs the role {table.needs}, which pg_monitor has"))
            else:
                rows[table.name] = answer[table.name] or []
                table.check(rows[table.name])
                gaps += [Gap(table.name, Refused.reason, row["gap"]) for row in rows[table.name] if row.get("gap")]
        return rows, list(Gap.once_each(gaps))

    async def _one_by_one(
        self, tables: Sequence[Table], version: int, error: ReadingError, now: float
    ) -> tuple[Rows, list[Gap]]:
        rows: dict[str, Sequence[Row]] = {}
        gaps: list[Gap] = []
        answered = False
        for table in tables:
            try:
                some_rows, some_gaps = await self._fetch([table], version)
            except (Refused, Malformed) as refusal:
                self._refused[table.name] = (now + self._retry_seconds, _gap(table, refusal))
            except Locked as held:
                gaps.append(_gap(table, held))
            else:
                answered = True
                rows |= some_rows
                gaps += some_gaps
        if not answered:
            self._refused.clear()
            self._nothing = (now + self._retry_seconds, type(error))
            raise error
        return rows, gaps


def _gap(table: Table, error: ReadingError) -> Gap:
    return Gap(table.name, error.reason, str(error))


def _statement(tables: Sequence[Table], version: int) -> str:
    """One select of one JSON object with a key per table."""
    parts = ["'argument', $1::text"]
    for table in tables:
        rows = f"(SELECT json_agg(t) FROM ({table.text(version)}) t)"  # noqa: S608 - our own constants
        if table.needs:
            rows = (
                f"CASE WHEN pg_has_role(current_user, '{table.needs}', 'USAGE') THEN {rows} "
                f"ELSE to_json('{_NO_RIGHT}'::text) END"
            )
        parts.append(f"'{table.name}', {rows}")
    return "SELECT json_build_object(" + ",\n".join(parts) + ")::text"
