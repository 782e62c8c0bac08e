"""The one file of limits: read whole or refused with every fault."""

import pytest

from blnk_exporter import thresholds
from blnk_exporter.errors import ConfigError
from blnk_exporter.figures.kinds import KINDS
from blnk_exporter.quantity import say
from blnk_exporter.thresholds import Threshold, parse

GOOD = "a.b: {unit: tasks, warning: 10, critical: 20, why: Because., source: queue.depth}"


def threshold(**fields: object) -> Threshold:
    return Threshold(**{"name": "a.b", "unit": "tasks", "why": "W.", "source": "s.t"} | fields)


def test_the_file_is_read() -> None:
    """What the package brings along is valid, and the checklist's own numbers stand in it."""
    limits = thresholds.load()
    found = {name: (limits[name].warning, limits[name].critical) for name in ("queues.depth", "redis.memory")}
    assert found == {"queues.depth": (1000, None), "redis.memory": (0.80, 0.85)}
    assert (limits["host.disk"].warning, limits["host.memory"].warning) == (0.80, 0.85)
    assert (limits["server.response"].critical, limits["postgres.connections"].critical) == (3, 0.90)


def test_every_figure_has_its_limit() -> None:
    """That every limit is looked at, the tests of the rules hold."""
    assert {kind.name for kind in KINDS if kind.limited} <= set(thresholds.load())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.limited], ids=lambda kind: kind.name)
def test_a_limit_has_the_unit_of_its_figure(kind: object) -> None:
    """80 is no limit for a ratio; only where it looks at something else may the unit differ."""
    assert kind.judged or thresholds.load()[kind.name].unit == kind.unit


@pytest.mark.parametrize(
    ("value", "level"), [(0, "ok"), (10, "ok"), (10.1, "warning"), (20, "warning"), (20.1, "critical")]
)
def test_a_limit_that_is_only_reached_is_kept(value: float, level: str) -> None:
    """The checklist says: more than 1000."""
    assert threshold(warning=10, critical=20).level(value) == level


@pytest.mark.parametrize(("value", "level"), [(20, "ok"), (19, "warning"), (10, "warning"), (9, "critical")])
def test_less_may_be_worse(value: float, level: str) -> None:
    """Time since the last loss, or room that is left."""
    assert threshold(warning=20, critical=10, below=True).level(value) == level


@pytest.mark.parametrize(
    ("fields", "words", "first"),
    [
        ({"warning": 1000}, "warning over 1,000 tasks", 1000),
        ({"warning": 1, "critical": 2}, "warning over 1 task, critical over 2 tasks", 1),
        ({"critical": 0}, "critical if any", 0),
        ({"critical": 5, "below": True}, "critical under 5 tasks", 5),
    ],
)
def test_a_limit_in_words(fields: dict[str, object], words: str, first: float) -> None:
    """The page says what a value is compared with."""
    made = threshold(**fields)
    assert (made.words.replace("\u00a0", " "), made.first) == (words, first)


def test_only_the_limit_that_is_met_is_named() -> None:
    """Who is told of trouble needs the one number that makes it trouble."""
    made = threshold(warning=10, critical=20)
    assert [made.met(value).replace("\u00a0", " ") for value in (10, 11, 21)] == [
        "",
        "warning over 10 tasks",
        "critical over 20 tasks",
    ]
    assert say(10, "tasks") in made.met(11)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: [", ["thresholds.yml"]),
        (f"{GOOD}\n{GOOD}", ["twice"]),
        ("a.b: 5", ["a.b: is no table"]),
        (GOOD.replace("tasks", "Tasks"), ["a.b: unit is one of tasks"]),
        (GOOD.replace("why: Because.", "why: ' '"), ["a.b: says no why"]),
        (GOOD.replace("source: queue.depth", "sauce: x"), ["knows no 'sauce'", "says no source"]),
        (GOOD.replace("warning: 10, critical: 20, ", ""), ["has no limit"]),
        (GOOD.replace("10", "ten"), ["a limit is a number"]),
        (GOOD.replace("10", "true"), ["a limit is a number"]),
        (GOOD.replace("10", ".nan"), ["a limit is a number"]),
        (GOOD.replace("20", "10"), ["critical lies beyond warning"]),
        (GOOD.replace("why", "below: true, why"), ["critical lies beyond warning"]),
        (GOOD.replace("why", "below: yes please, why"), ["below is true or false"]),
        ("a.b: 5\nc.d: 6", ["a.b: is no table", "c.d: is no table"]),
    ],
)
def test_every_fault_is_told(text: str, faults: list[str]) -> None:
    """A limit that is silently dropped is an alert that never comes."""
    with pytest.raises(ConfigError) as caught:
        parse(text.encode())
    assert len(caught.value.faults) == len(faults)
    assert [fault for fault in faults if fault not in str(caught.value)] == []


def test_a_good_entry_keeps_all_it_says() -> None:
    """Nothing is lost on the way from the file."""
    made = parse(GOOD.encode())["a.b"]
    assert made == threshold(why="Because.", source="queue.depth", warning=10, critical=20)
