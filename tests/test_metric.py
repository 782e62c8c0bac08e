"""A metric as a line of data: values that are facts become samples, all others nothing."""

import math

import pytest

from blnk_exporter.collector import Gap
from blnk_exporter.metric import Distribution, Metric, Sample

DEPTH = Metric("blnk_test_depth", "A depth.", ("queue", "state"))


def test_labels_come_in_the_order_of_the_declaration() -> None:
    """Their order is the only thing that ties values to names afterwards."""
    assert list(DEPTH(3, state="b", queue="a")) == [Sample(DEPTH, ("a", "b"), 3.0)]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_known_is_no_sample(value: float | None) -> None:
    """Never 0, never NaN, never -1: absent means unknown."""
    assert list(DEPTH(value, queue="a", state="b")) == []


@pytest.mark.parametrize(("value", "told"), [(0, 0.0), (False, 0.0), (True, 1.0), (-1, -1.0), (2**63, float(2**63))])
def test_facts_are_told(value: float, told: float) -> None:
    """Zero is a fact, and so are flags."""
    (sample,) = DEPTH(value, queue="a", state="b")
    assert (sample.value, type(sample.value)) == (told, float)


@pytest.mark.parametrize(
    "labels", [{}, {"queue": "a"}, {"queue": "a", "state": "b", "more": "c"}, {"queue": "a", "statE": "b"}]
)
def test_wrong_labels_are_a_defect(labels: dict[str, str]) -> None:
    """Also when the value is not known, so that it shows before the night when it is."""
    with pytest.raises((ValueError, KeyError)):
        list(DEPTH(None, **labels))


@pytest.mark.parametrize(("name", "kind"), [("blnk_test_tasks_total", "counter"), ("blnk_test_tasks", "gauge")])
def test_the_name_tells_the_kind(name: str, kind: str) -> None:
    """One place less to contradict another."""
    assert Metric(name, "A sentence.").kind == kind


def test_each_gap_is_kept_once() -> None:
    """Twenty queues lack one right: the first says it for all, in its words."""
    first, again, other = Gap("a", "refused", "one"), Gap("a", "refused", "two"), Gap("a", "timeout", "three")
    assert Gap.once_each([first, again, other, again]) == (first, other)


def test_a_histogram_that_lacks_a_bucket_is_a_defect() -> None:
    """A count in the wrong bucket is a lie about time."""
    metric = Metric("blnk_test_wait_seconds", "A wait.", buckets=(1.0, 5.0))
    assert metric.kind == "histogram"
    assert list(metric.observed(None)) == []
    with pytest.raises(ValueError, match="2 buckets and one beyond"):
        list(metric.observed(Distribution((1, 2), 3.0)))


@pytest.mark.parametrize("buckets", [(5.0, 1.0), (1.0, 1.0), (1.0, float("inf"))])
def test_buckets_rise_and_end(buckets: tuple[float, ...]) -> None:
    """Prometheus adds the one beyond all bounds itself."""
    with pytest.raises(ValueError, match="rise and are finite"):
        Metric("blnk_test_wait_seconds", "A wait.", buckets=buckets)
