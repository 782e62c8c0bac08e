"""What a dashboard says, before it is Grafana's: rows of panels, each with its queries, its limit and its alerts."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["stat", "timeseries", "table", "state-timeline"]
Color = Literal["green", "orange", "red", "blue", "text"]
States = Mapping[int, tuple[str, Color]]

UP: States = {0: ("DOWN", "red"), 1: ("UP", "green")}
OK: States = {0: ("FAILING", "red"), 1: ("OK", "green")}
COLUMNS = 24


@dataclass(frozen=True)
class Query:
    """A query as the rules have theirs: PromQL without job and instance, which are the dashboard's variables.

    ``legend`` names a line or the column of a table, where a query may have a unit, a limit and states of its own; a
    table's query without one lends its labels only, and ``none_is`` is the colour of 0 in its column.
    """

    expr: str
    legend: str = ""
    unit: str = ""
    limit: str = ""
    none_is: Color | None = None
    states: States = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture; ``about`` says what it means and what to look for.

    ``unit`` is one of Grafana's. ``limit`` names an entry of thresholds.yml, drawn as lines and told by colours;
    ``any_is`` is the colour of everything but 0; ``states`` are words and colours for whole numbers. ``nothing`` stands
    where no series is, in red if ``alarm`` says that this is as bad as it can be. ``alerts`` are those whose expression it
    shows, ``runbooks`` others that its colours stand for, besides those that compare with its limit; ``board`` is where
    more of it is. ``labels`` are a table's columns before those of its queries, ``words`` the colours of texts in them by
    column, and ``sort`` the columns that it is sorted by, the largest first with a minus. ``every`` is how often what it
    shows is read at most, where that is less often than a scrape.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    unit: str = "short"
    limit: str = ""
    any_is: Color | None = None
    states: States = field(default_factory=dict)
    nothing: str = "unknown"
    alerts: tuple[str, ...] = ()
    runbooks: tuple[str, ...] = ()
    width: int = 8
    height: int = 7
    stacked: bool = False
    decimals: int | None = None
    labels: tuple[str, ...] = ()
    words: Mapping[str, Mapping[str, Color]] = field(default_factory=dict)
    sort: tuple[str, ...] = ()
    alarm: bool = False
    every: str = ""
    board: str = ""


def stat(title: str, about: str, expr: str, **more: object) -> Panel:
    """One number; an eighth of the width unless told otherwise."""
    return Panel(title=title, about=about, queries=(Query(expr),), kind="stat", **{"width": 3, "height": 4, **more})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading; ``collapsed`` where a deployment may lack what they tell of."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard that answers one question."""

    name: str
    title: str
    question: str
    rows: tuple[Row, ...]

    @property
    def uid(self) -> str:
        """What its address ends in, whatever its title."""
        return f"blnk-{self.name}"

    def panels(self) -> Iterator[Panel]:
        """All of them, those of collapsed rows included."""
        return (panel for row in self.rows for panel in row.panels)

    def id(self, part: Panel | Row) -> int:
        """The same for as long as the title is, so that links to it stay good."""
        return zlib.crc32(f"{self.name}/{type(part).__name__}/{part.title}".encode()) % 1_000_000 + 1
