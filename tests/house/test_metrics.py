"""What holds for every metric there is."""

import subprocess
from pathlib import Path

import pytest

from blnk_exporter import collectors, exposition
from blnk_exporter.metric import Metric, Sample
from blnk_exporter.render import catalogue

from ..programs import program

ROOT = Path(__file__).parents[2]
COLLECTORS = [collector for collector, _ in collectors.ROOMS]
ALL = [*catalogue.OWN, *(metric for collector in COLLECTORS for metric in collector.metrics)]
# Stems that Blnk's own /metrics uses since 0.14.0 (internal/metrics/metrics.go): ours must never meet them.
BLNK_STEMS = (
    *("blnk_transaction_", "blnk_queue_", "blnk_worker_", "blnk_balance_", "blnk_inflight_"),
    *("blnk_hotpairs_", "blnk_chain_", "blnk_search_"),
)


def test_every_name_stands_once() -> None:
    """Two declarations of one name would be two meanings."""
    names = [metric.name for metric in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_no_name_is_one_of_blnks_own(metric: Metric) -> None:
    """Blnk exports blnk_… too; a clash would merge two truths into one graph."""
    assert not metric.name.startswith(BLNK_STEMS)


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_a_collectors_metrics_carry_its_name(collector: object) -> None:
    """From a name on a graph one finds the file."""
    prefix = f"blnk_{collector.name}_"
    assert [metric.name for metric in collector.metrics if not metric.name.startswith(prefix)] == []


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_a_collectors_head_tells_what_it_costs(collector: object) -> None:
    """An operator must see what is read, with which right, and how to look by hand."""
    head = catalogue.room_docs(collector.name)
    missing = [word for word in ("Source:", "Needs:", "By hand:", "Cost:") if word not in head]
    assert missing == []


def test_every_collector_can_be_switched_off() -> None:
    """The switches and the rooms are one list."""
    from blnk_exporter.config.settings import Collectors  # noqa: PLC0415

    assert tuple(Collectors.model_fields) == collectors.NAMES


def test_the_document_agrees_with_the_declarations() -> None:
    """An undocumented metric is a number that nobody can trust; make docs renders it anew."""
    assert (ROOT / "docs/metrics.md").read_text() == catalogue.markdown() + "\n"


def test_every_declaration_pleases_promtool(promtool: Path) -> None:
    """Prometheus' own linter reads a page on which every metric stands once."""
    metrics = [metric for metric in ALL if metric is not exposition.SERIES_LIMIT]  # every page has it
    page = exposition.render(Sample(metric, tuple("x" for _ in metric.labels), 1.0) for metric in metrics)
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "", "")


@pytest.fixture
def promtool() -> Path:
    return program("promtool")


@pytest.mark.parametrize(
    ("name", "help_", "labels"),
    [
        ("queue_depth", "A sentence.", ()),
        ("blnk_queues_pending", "no sentence", ()),
        ("blnk_queues_pending", "No full stop", ()),
        ("blnk_queues_pending", "A sentence.", ("instance",)),
        ("blnk_queues_pending", "A sentence.", ("Queue",)),
        ("blnk_queues_pending", "A sentence.", ("queue", "queue")),
    ],
)
def test_a_bad_declaration_cannot_be_imported(name: str, help_: str, labels: tuple[str, ...]) -> None:
    """Wrong declarations are stopped before they are shipped."""
    with pytest.raises(ValueError, match=name):
        Metric(name, help_, labels)
