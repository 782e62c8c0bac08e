"""Samples to text: which format, and that what goes in comes out."""

import math
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from blnk_exporter.exposition import SERIES_DROPPED, SERIES_LIMIT, TEXT, Format, accepts_gzip, negotiate, render
from blnk_exporter.metric import Distribution, Metric, Sample

from .programs import program

DEPTH = Metric("blnk_test_depth", 'A depth with a \\ and a "quote".', ("queue",))
TASKS = Metric("blnk_test_tasks_total", "Tasks counted.", ("queue", "state"))
PLAIN = Metric("blnk_test_plain", "No labels.")
INFO = Metric("blnk_test_info", "Always 1.", ("version",))
TEXT_1 = Format("text/plain", "1.0.0", "underscores")
OPENMETRICS = Format("application/openmetrics-text", "1.0.0", "underscores")
ALL = [TEXT, TEXT_1, OPENMETRICS]
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(page: bytes, how: Format) -> Series:
    """What Prometheus' own client reads from our part of a page, by name and labels."""
    families = openmetrics_families if how is OPENMETRICS else text_families
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in families(page.decode())
        for sample in family.samples
        if sample.name.startswith("blnk_")
    }


# The headers that the programs really send: Prometheus scrape/scrape.go of each release, curl, Firefox.
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," + PROMETHEUS_3
)
PROMETHEUS_3_TEXT = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
OM_UTF8 = Format("application/openmetrics-text", "1.0.0", "allow-utf-8")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OM_UTF8),
        (PROMETHEUS_3_NATIVE, OM_UTF8),
        (PROMETHEUS_3_TEXT, Format("text/plain", "1.0.0", "allow-utf-8")),
        (FIREFOX, TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("", TEXT),
        ("text/plain", TEXT),
        ("text/plain; version=0.0.4", TEXT),
        ("text/plain;version=0.0.4;charset=utf-8", TEXT),
        ("TEXT/PLAIN; Version=1.0.0", TEXT_1),
        ("application/openmetrics-text", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.1", OPENMETRICS),
        ("application/json", TEXT),
        ("text/html", TEXT),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.2", TEXT),
        ("text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.9", TEXT),
        ("text/plain;version=1.0.0;q=0.5,application/openmetrics-text;q=0.5", TEXT_1),
        ("application/openmetrics-text;q=0.5,text/plain;version=1.0.0;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.0,*/*;q=0.0", TEXT),
        ("application/openmetrics-text;q=much,text/plain;version=1.0.0", TEXT_1),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=-1", TEXT),
        ("application/openmetrics-text;escaping=nonsense", OPENMETRICS),
        ("application/openmetrics-text;escaping=dots", Format("application/openmetrics-text", "1.0.0", "dots")),
        (",,;;==,q=1,/,text/", TEXT),
    ],
)
def test_the_format_that_the_scraper_weighs_highest(accept: str, expected: Format) -> None:
    """Whoever ignores weights serves a format that was asked for least."""
    assert negotiate(accept) == expected


@given(st.text(max_size=80))
def test_any_header_gets_a_page(accept: str) -> None:
    """A header is foreign input."""
    assert negotiate(accept).media_type in {"text/plain", "application/openmetrics-text"}


def test_the_content_type_names_format_version_and_escaping() -> None:
    """Prometheus 3 refuses a page whose type it cannot read."""
    assert TEXT.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert OM_UTF8.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"


SAMPLES = [
    *DEPTH(3, queue="a"),
    *DEPTH(0.5, queue="b"),
    *TASKS(2**53, queue="a", state="x"),
    *PLAIN(-7),
    *INFO(1, version="1.2.3"),
]


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.content_type)
def test_what_goes_in_comes_out(how: Format) -> None:
    """Prometheus' own parsers are the oracle, one for each format."""
    assert series(render(SAMPLES, how), how) == {
        ("blnk_test_depth", (("queue", "a"),)): 3,
        ("blnk_test_depth", (("queue", "b"),)): 0.5,
        ("blnk_test_tasks_total", (("queue", "a"), ("state", "x"))): 2**53,
        ("blnk_test_plain", ()): -7,
        ("blnk_test_info", (("version", "1.2.3"),)): 1,
        (SERIES_LIMIT.name, ()): 100_000,
    }


def test_types_and_helps_are_told() -> None:
    """A counter must be one to Prometheus, or rate() is guesswork."""
    families = {family.name: family for family in text_families(render(SAMPLES).decode())}
    assert families["blnk_test_tasks"].type == "counter"
    assert families["blnk_test_depth"].type == "gauge"
    assert families["blnk_test_depth"].documentation == DEPTH.help


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.content_type)
def test_a_histogram_is_told_by_cumulative_buckets(how: Format) -> None:
    """Its buckets are kept apart inside and summed up outside; what lies beyond the last bound counts too."""
    metric = Metric("blnk_test_wait_seconds", "A wait.", ("queue",), buckets=(0.5, 2.0, 10.0))
    page = render(metric.observed(Distribution((3, 0, 2, 1), 31.5), queue="a"), how).decode()
    told = [line for line in page.splitlines() if line.startswith("blnk_test_wait_seconds")]
    assert "# TYPE blnk_test_wait_seconds histogram" in page
    assert told == [
        'blnk_test_wait_seconds_bucket{le="0.5",queue="a"} 3.0',
        'blnk_test_wait_seconds_bucket{le="2.0",queue="a"} 3.0',
        'blnk_test_wait_seconds_bucket{le="10.0",queue="a"} 5.0',
        'blnk_test_wait_seconds_bucket{le="+Inf",queue="a"} 6.0',
        'blnk_test_wait_seconds_count{queue="a"} 6.0',
        'blnk_test_wait_seconds_sum{queue="a"} 31.5',
    ]


def test_openmetrics_ends_as_it_must() -> None:
    """Without its last line the whole page is refused."""
    page = render(SAMPLES, OPENMETRICS)
    assert page.endswith(b"# EOF\n")
    assert b"# TYPE blnk_test_tasks counter\n" in page


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5, unique=True))
def test_any_label_comes_back_as_it_was(names: list[str]) -> None:
    """Queues may be called anything: quotes, newlines, backslashes, every letter there is."""
    page = render([sample for place, name in enumerate(names) for sample in DEPTH(place, queue=name)])
    found = {labels[0][1]: number for (name, labels), number in series(page, TEXT).items() if name == DEPTH.name}
    assert found == {name: place for place, name in enumerate(names)}


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.content_type)
@pytest.mark.parametrize(
    "name", ['quo"te', "new\nline", "back\\slash", "\\n", 'a"b\\c\nd', "Ünïcøde ✓ 🐘", "{}=,", " ", ""]
)
def test_nasty_labels_in_every_format(name: str, how: Format) -> None:
    """The escapes of the two formats differ in their corners."""
    found = series(render(DEPTH(1, queue=name), how), how)
    assert found[DEPTH.name, (("queue", name),)] == 1


def test_the_same_series_twice_is_dropped_and_counted() -> None:
    """Prometheus would refuse the whole page for one duplicate; the first one stays."""
    samples = [*DEPTH(1, queue="a"), *PLAIN(5), *DEPTH(2, queue="a"), *DEPTH(3, queue="b"), *DEPTH(4, queue="a")]
    found = series(render(samples), TEXT)
    assert found[DEPTH.name, (("queue", "a"),)] == 1
    assert found[DEPTH.name, (("queue", "b"),)] == 3
    assert found[SERIES_DROPPED.name, (("metric", DEPTH.name),)] == 2


def test_a_family_has_one_place_however_its_samples_come() -> None:
    """The formats forbid a second one."""
    page = render([*DEPTH(1, queue="a"), *PLAIN(5), *DEPTH(3, queue="b")]).decode()
    assert page.count(f"# TYPE {DEPTH.name} ") == 1
    assert page.index('queue="b"') < page.index("# HELP blnk_test_plain")


def test_the_limit_holds_and_is_told() -> None:
    """Five thousand queues by accident are not five thousand series in Prometheus, and one can see that."""
    samples = [sample for number in range(15) for sample in DEPTH(number, queue=str(number))]
    found = series(render([*samples, *PLAIN(1)], series_limit=10), TEXT)
    assert sum(name == DEPTH.name for name, _ in found) == 10
    assert found[SERIES_LIMIT.name, ()] == 10
    assert found[SERIES_DROPPED.name, (("metric", DEPTH.name),)] == 5
    assert found["blnk_test_plain", ()] == 1


def test_nothing_dropped_is_not_told() -> None:
    """A series that says 0 drops for each metric would be larger than the page."""
    assert SERIES_DROPPED.name.encode() not in render(SAMPLES)


def test_an_empty_page_is_a_page() -> None:
    """Before anything is configured there is still the exporter itself."""
    page = render([])
    assert SERIES_LIMIT.name.encode() in page
    assert b"process_resident_memory_bytes" in page


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_they_were(number: float) -> None:
    """Counters beyond 2**53 and ages of microseconds alike."""
    sample = Sample(PLAIN, (), number)
    assert math.isclose(series(render([sample]), TEXT)[PLAIN.name, ()], number, rel_tol=0, abs_tol=0)


@pytest.mark.parametrize("how", [TEXT, TEXT_1], ids=lambda how: how.content_type)
def test_promtool_reads_it(how: Format) -> None:
    """Prometheus' own linter, on nasty labels too."""
    page = render([*SAMPLES, *DEPTH(1, queue='a"b\\c\nd'), *DEPTH(1, queue="Ünïcøde 🐘")], how)
    done = subprocess.run([program("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "", "")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("deflate;q=0.5, *", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("", False),
        ("gzip;q=x", False),
    ],
)
def test_gzip_only_where_it_is_allowed(header: str, allowed: bool) -> None:
    """A client that says no gets plain text, and nobody gets a coding that was not asked for."""
    assert accepts_gzip(header) is allowed
