"""What a question answers: a table for people, verdicts against targets, and the same as data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """One question's figures; None is what could not be measured, or makes no sense in that row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The table with its columns aligned."""
        lines = [self.columns, *(tuple(map(_cell, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = tuple("-" * width for width in widths)
        drawn = [_line(line, widths) for line in (self.columns, rule, *lines[1:])]
        return "\n".join((f"## {self.title}", "", *drawn, *(f"\n{note}" for note in self.notes)))


@dataclass(frozen=True)
class Verdict:
    """A figure against its target, which is an upper bound; ``low`` and ``high`` hold the middle 95 % where it varies."""

    target: str
    limit: float
    figure: float
    low: float | None = None
    high: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the figure keeps to its target."""
        return self.figure <= self.limit

    def text(self) -> str:
        """One line."""
        spread = f" ({self.low:.2f}-{self.high:.2f})" if self.low is not None and self.high is not None else ""
        word = "reached" if self.reached else "MISSED "
        return f"{word}  {self.figure:5.2f}{spread:<12}  {self.target} <= {self.limit:g}"


@dataclass(frozen=True)
class Answer:
    """What one question has found."""

    tables: Sequence[Table]
    verdicts: Sequence[Verdict] = ()

    def text(self) -> Iterator[str]:
        """Its tables."""
        return (table.text() for table in self.tables)


def _cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.2f}" if abs(cell) < 100 else f"{cell:.0f}"
    return str(cell)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others))).rstrip()
