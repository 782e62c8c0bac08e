"""Every runbook can be followed: its commands are whole, find what they look for, and do no harm."""

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from blnk_exporter import collectors, exposition
from blnk_exporter.metric import Distribution, Metric, Sample
from blnk_exporter.quantity import say
from blnk_exporter.render import fill, runbooks
from blnk_exporter.render.catalogue import OWN

from .native import NATIVE
from .story import LIMITS

ALERTS = runbooks.alerts()
FOLDER = Path(runbooks.__file__).parent / "runbooks"
METRICS = (*OWN, *(metric for collector, _ in collectors.ROOMS for metric in collector.metrics))
# Values of labels that commands look for.
LABELS = {
    "collector": tuple(collector.name for collector, _ in collectors.ROOMS),
    "fact": ("clocks",),
    "queue": ("new:webhook", "new:index", "new:inflight-expiry", "new:inflight-commit", "NAME"),
    "setting": ("autovacuum",),
    "table": ("transactions", "transaction_journal", "balances"),
}
# What is no metric: how the exporter names itself to PostgreSQL, and a key of a transaction's meta_data.
NO_METRICS = {"blnk_exporter", "blnk_rejection_reason"}
_PAGE = re.compile(r"(?:localhost:10501/metrics|^blnk-exporter scrape) \|")
_PATTERN = re.compile(r"\bgrep (?:-\w+ )*'[^']*'")
_HARM = re.compile(
    r"redis-cli\b[^|;\n]*\s(?:flushall|flushdb|keys)\b|\bdelete\s+from\b|\btruncate\b|\bdrop\s+(?!index concurrently\b)",
    re.IGNORECASE,
)


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text("utf-8")


def blocks(text: str) -> list[str]:
    """What stands between fences of the shell."""
    return re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def pipelines(text: str) -> Iterator[list[list[str]]]:
    """The filters of each command that reads the exporter's page, up to the first that is no grep."""
    for line in "".join(blocks(text)).splitlines():
        if not _PAGE.search(line.strip()):
            continue
        filters: list[list[str]] = [[]]
        for word in shlex.split(line.rpartition("; ")[2].partition("|")[2]):
            filters.append([]) if word == "|" else filters[-1].append(word)
        yield filters[: next((at for at, words in enumerate(filters) if words[0] != "grep"), len(filters))]


def branches(pattern: str) -> set[str]:
    """A regular expression without its alternatives, one for each; that a number may end with ``.0`` is none."""
    if group := re.search(r"(?<!\\)\((?!\\\.0\)\?)((?:[^()]|\(\\\.0\)\?)*)\)", pattern):
        before, after = pattern[: group.start()], pattern[group.end() :]
        return {branch for one in group[1].split("|") for branch in branches(f"{before}{one}{after}")}
    return set(pattern.split("|"))


def grep(words: Iterable[str], page: str) -> str:
    """What the real one lets through; a fault of the pattern is no empty answer."""
    done = subprocess.run([*words], input=page, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def samples(metric: Metric, value: float) -> Iterator[Sample]:
    for labels in product(*(LABELS.get(label, ("x",)) for label in metric.labels)):
        one = dict(zip(metric.labels, labels, strict=True))
        if metric.buckets:
            yield from metric.observed(Distribution((int(value), *(0 for _ in metric.buckets)), value), **one)
        else:
            yield from metric(value, **one)


@cache
def page(value: float) -> str:
    """Every declared metric at one value, as the exporter writes it."""
    return exposition.render(sample for metric in METRICS for sample in samples(metric, value)).decode()


def series(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_every_alert_has_its_runbook_and_the_reverse() -> None:
    """What an alert's link leads to."""
    assert {path.stem for path in FOLDER.glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_it_says_what_to_do(name: str) -> None:
    """Its four sections, in order, none empty, and commands to paste."""
    parts = re.split(r"^## (.+)$", text_of(name), flags=re.MULTILINE)
    assert tuple(parts[1::2]) == runbooks.SECTIONS
    assert all(len(body.split()) >= 8 for body in parts[2::2])
    assert "```sh" in parts[parts.index("Diagnosis") + 1]


@pytest.mark.parametrize("name", ALERTS)
def test_it_sends_nobody_to_what_is_not_there(name: str) -> None:
    """An alert or a metric that it names exists; what a command looks for has a test of its own."""
    text = text_of(name)
    assert set(re.findall(r"\bBlnk[A-Z]\w+", text)) <= ALERTS.keys()
    prose = fill.PLACE.sub("", _PATTERN.sub("", text))
    named = set(re.findall(r"\b(?:blnk|http_server)_[a-z0-9_]*[a-z0-9]\b", prose))
    declared = {name for metric in METRICS for name in (metric.name, *metric.series)}
    assert named - declared - NATIVE.keys() - NO_METRICS == set()


@pytest.mark.parametrize("name", ALERTS)
def test_what_it_looks_for_on_the_page_is_there(name: str) -> None:
    """Each alternative of each pattern finds a series that is 1; what is to hide zeros hides them."""
    for filters in pipelines(text_of(name)):
        assert filters, "the page is looked at as a whole"
        shown, hidden = page(1), page(0)
        for *words, pattern in filters:
            without = any("v" in word for word in words if word.startswith("-"))
            for branch in {pattern} if without else branches(pattern):
                assert series(grep([*words, branch], shown)), f"{branch} of {filters}"
            shown, hidden = grep([*words, pattern], shown), grep([*words, pattern], hidden)
            if "$" in pattern:
                assert len(series(hidden)) < len(series(shown)), f"{pattern} tells 0 from 1"


@pytest.mark.parametrize("name", ALERTS)
def test_its_commands_are_whole(name: str) -> None:
    """Any shell can read them."""
    for block in blocks(text_of(name)):
        done = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ALERTS)
def test_its_commands_do_no_harm(name: str) -> None:
    """Nothing is deleted wholesale, and no attempt to recover is spent unknowingly."""
    text = text_of(name)
    code = "\n".join(["".join(blocks(text)), *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)])
    assert not _HARM.search(_PATTERN.sub("", code))
    if "recover?threshold" in text:
        assert "**Each call is one of three attempts; the next one after them rejects the" in " ".join(text.split())
    assert set(re.findall(r"X-Blnk-Key: (\S+?)\"", text)) <= {"$BLNK_KEY"}


@pytest.mark.parametrize("name", ALERTS)
def test_it_types_no_limit(name: str) -> None:
    """Somebody may have set another one."""
    text = text_of(name).replace("\u00a0", " ")
    for limit in map(LIMITS.__getitem__, fill.limits_in(ALERTS[name].expr)):
        for value in (limit.warning, limit.critical):
            words = "" if value is None else say(value, limit.unit).replace("\u00a0", " ")
            assert not words or not re.search(rf"(?<![\d,.]){re.escape(words)}(?!\w)", text), words
