"""GET /metrics: what is selected, in which format, how long it may take, and how many at once."""

import asyncio
import gzip
import threading
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from blnk_exporter import collectors, exposition
from blnk_exporter.config.settings import Limits
from blnk_exporter.web import metrics
from blnk_exporter.web.metrics import GATE, budget_seconds

from ..waiting import until
from .conftest import Stage

KNOWN = ", ".join(sorted(collectors.NAMES))


async def test_all_collectors_by_default(stage: Stage) -> None:
    """A scraper that asks for nothing in particular wants everything."""
    reply = await stage.get("/metrics")
    assert reply.status == 200
    assert stage.reads == ["redis", "postgres", "tables"]
    text = await reply.text()
    for name in stage.reads:
        assert f'blnk_exporter_collector_duration_seconds{{collector="{name}"}}' in text


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("collect[]=redis", ["redis"]),
        ("collect=redis", ["redis"]),
        ("collect[]=redis&collect[]=tables", ["redis", "tables"]),
        ("collect%5B%5D=postgres", ["postgres"]),
        ("exclude[]=redis", ["postgres", "tables"]),
        ("collect[]=redis&exclude[]=redis", []),
        ("collect[]=redis&exclude[]=host", ["redis"]),
        ("collect[]=host", []),  # known, and switched off here
        ("something=else", ["redis", "postgres", "tables"]),
    ],
)
async def test_query_selects_collectors(stage: Stage, query: str, read: list[str]) -> None:
    """Prometheus users split heavy targets into jobs this way; what is not asked for must not be read."""
    reply = await stage.get(f"/metrics?{query}")
    assert reply.status == 200
    assert read == stage.reads
    text = await reply.text()
    assert [f'collector_success{{collector="{name}"}}' in text for name in read] == [True] * len(read)
    assert text.count("collector_success{") == len(read)


@pytest.mark.parametrize("query", ["collect[]=typo", "exclude[]=typo", "collect[]=redis&exclude[]=typo", "collect[]="])
async def test_unknown_collector_is_refused(stage: Stage, query: str) -> None:
    """A typo that was taken for "all", or for "none", would be found only when the series are missed."""
    reply = await stage.get(f"/metrics?{query}")
    assert reply.status == 400
    assert f"known are {KNOWN}" in await reply.text()
    assert stage.reads == []


async def test_refusal_is_plain_text(stage: Stage) -> None:
    """What a link makes us say must not run in a browser."""
    reply = await stage.get("/metrics", params={"collect[]": "<script>alert(1)</script>"})
    assert reply.status == 400
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        ("no sense;;q=x", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8"),
        # Prometheus 2.42 and 3.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.7",
            "text/plain; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_format_is_negotiated(stage: Stage, accept: str, content_type: str) -> None:
    """The parser that reads the page is chosen by its Content-Type."""
    reply = await stage.get("/metrics", headers={"Accept": accept})
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith(content_type)
    text = await reply.text()
    assert text.endswith("# EOF\n") == content_type.startswith("application/openmetrics-text")
    if text.endswith("# EOF\n"):
        assert list(parse_openmetrics(text))


async def test_page_is_compressed_for_who_can_read_it(stage: Stage) -> None:
    """A page of 100 KB every 15 seconds is worth the CPU; who does not ask gets it plain."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for asked, coding in (("gzip", "gzip"), ("gzip, deflate", "deflate"), ("identity", None)):
            async with session.get(f"{stage.url}/metrics", headers={"Accept-Encoding": asked}) as reply:
                body = await reply.read()
                if asked == "gzip, deflate":
                    assert reply.headers["Content-Encoding"] in {"gzip", "deflate"}
                    continue
                assert reply.headers.get("Content-Encoding") == coding
                plain = gzip.decompress(body) if coding else body
                assert plain.startswith(b"# HELP blnk_exporter_build_info")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/metrics", "/"])
async def test_only_get_makes_a_page(stage: Stage, method: str, path: str) -> None:
    """Other methods are refused by name and cost the databases nothing."""
    reply = await stage.get(path, method, data=b"x" * 100 if method == "POST" else None)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET,HEAD"
    assert stage.reads == []


PATHS = ("/", "/metrics", "/metrics?collect[]=redis", "/sd", "/runbooks/", "/runbooks/BlnkRedisDown", "/-/healthy")


@pytest.mark.parametrize("path", [*PATHS, "/foo", "/runbooks/none", "/metrics?collect[]=none", "/probe", "/?target=x"])
async def test_head_is_get_without_its_body(stage: Stage, path: str) -> None:
    """`curl -I` and load balancers ask so; the headers are those of GET, and no source is read for them."""
    for headers in ({"Accept-Encoding": "gzip"}, {"Accept": "application/openmetrics-text; version=1.0.0"}):
        head = await stage.get(path, "HEAD", headers=headers)
        assert stage.reads == []
        get = await stage.get(path, headers=headers)
        stage.reads.clear()
        assert head.status == get.status
        found, expected = ({k: v for k, v in reply.headers.items() if k != "Date"} for reply in (head, get))
        if path.startswith("/metrics") and get.status == 200:
            # How long the page would be is not known without making it.
            del expected["Content-Length"]
        assert found == expected


async def test_head_leaves_the_exporter_as_it_was(stage: Stage) -> None:
    """HEAD is not a scrape: neither readiness nor the age of the last one may come from it."""
    assert (await stage.get("/metrics", "HEAD")).status == 200
    assert (await stage.get("/-/ready")).status == 503
    assert stage.service.memory.scraped_at is None


@pytest.mark.parametrize("stage", [{"limits.requests": 3}], indirect=True)
async def test_too_many_at_once_are_turned_away(stage: Stage) -> None:
    """A queue of scrapes that nobody waits for any more would outlive the trouble that caused it."""
    stage.opened.clear()
    waiting = [asyncio.create_task(stage.get("/metrics")) for _ in range(3)]
    await until(lambda: sum(stage.app[GATE].busy.values()) == 3)
    for _ in range(10):
        reply = await stage.get("/metrics")
        assert reply.status == 503
        assert "limits.requests" in await reply.text()
    assert not any(task.done() for task in waiting), "no request waited for a place"
    assert (await stage.get("/-/healthy")).status == 200
    stage.opened.set()
    assert [reply.status for reply in await asyncio.gather(*waiting)] == [200] * 3
    assert stage.reads.count("redis") == 1, "all of them shared one reading"
    assert (await stage.get("/metrics")).status == 200


async def test_client_that_leaves_costs_nothing(stage: Stage) -> None:
    """A scraper that times out leaves no task, no place in the gate, and does not spoil the reading for others."""
    stage.opened.clear()
    address = stage.url.removeprefix("http://").split(":")
    for _ in range(5):
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await writer.drain()
        writer.transport.abort()
    stayer = asyncio.create_task(stage.get("/metrics"))
    await until(lambda: stage.app[GATE].busy.total() == 6)
    stage.opened.set()
    assert (await stayer).status == 200
    await until(lambda: stage.app[GATE].busy.total() == 0)
    assert stage.reads.count("redis") == 1


@pytest.mark.parametrize(("most", "apart"), [(-1, True), (1_000_000, False)])
async def test_a_large_page_is_made_beside_the_loop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, most: int, *, apart: bool
) -> None:
    """Health checks and other scrapes go on meanwhile; an ordinary page is done before a thread would have begun."""
    threads, render = [], exposition.render

    def seen(*arguments: Any, **options: Any) -> bytes:
        threads.append(threading.current_thread())
        return render(*arguments, **options)

    monkeypatch.setattr(metrics, "_SAMPLES_MAX_AT_ONCE", most)
    monkeypatch.setattr(exposition, "render", seen)
    reply = await stage.get("/metrics")
    assert reply.status == 200
    assert "blnk_exporter_collector_success" in await reply.text()
    assert [thread is not threading.main_thread() for thread in threads] == [apart]


async def test_a_page_that_takes_too_long_to_render_comes_without_its_largest_reading(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time, with the other readings, and with a verdict; the next scrape leaves more time for the rendering."""
    release, render, budgets = threading.Event(), exposition.render, []
    scrape = stage.service.scrape

    def slow(*arguments: Any, **options: Any) -> bytes:
        if threading.current_thread() is not threading.main_thread():
            release.wait(60)
        return render(*arguments, **options)

    async def noted(**options: Any) -> Any:
        budgets.append(options["budget_seconds"] - options["kept_seconds"])
        return await scrape(**options)

    monkeypatch.setattr(metrics, "_SAMPLES_MAX_AT_ONCE", 2)
    monkeypatch.setattr(exposition, "render", slow)
    monkeypatch.setattr(stage.service, "scrape", noted)
    pages = [await stage.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"}) for _ in range(2)]
    assert not release.is_set()
    release.set()
    for page in pages:
        text = await page.text()
        assert 'blnk_exporter_collector_failure{collector="redis",reason="timeout"} 1.0' in text
        assert 'blnk_exporter_collector_success{collector="tables"} 1.0' in text
    assert budgets == [0.5, 0.25]
    # It is not a change of the collector's state.
    assert stage.service.scraper.outcomes["redis"].failure is None


LIMIT, MARGIN = Limits().scrape_timeout_seconds, Limits().scrape_timeout_margin_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, LIMIT),
        ("", LIMIT),
        ("nan", LIMIT),
        ("-1", LIMIT),
        ("0", LIMIT),
        ("-0.0", LIMIT),
        ("inf", LIMIT),
        ("-inf", LIMIT),
        ("abc", LIMIT),
        ("1_0", LIMIT),
        ("10s", LIMIT),
        ("1e9", LIMIT),
        ("0.2", 0.1),
        ("1", 0.5),
        ("3", 3 - MARGIN),
        (" 3 ", 3 - MARGIN),
        ("1e-9", 0.1),
        ("9" * 400, LIMIT),
    ],
)
def test_budget_follows_the_header(header: str | None, seconds: float) -> None:
    """A page must be there before Prometheus gives up; nonsense in the header must not shorten or lengthen it."""
    assert budget_seconds(header, Limits()) == seconds


@pytest.mark.parametrize("header", ["nan", "-1", "inf", "abc", "0.2", "1e9", "1e-9", "\u00b2"])
async def test_any_header_gets_a_page(stage: Stage, header: str) -> None:
    """Whatever a proxy makes of the header, the answer is a page and no error."""
    reply = await stage.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": header})
    assert reply.status == 200


async def test_slow_collector_is_left_behind(stage: Stage) -> None:
    """Within the header's time the others are served, and the slow one is told to have been too slow."""
    stage.opened.clear()
    reply = await stage.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "2"})
    assert not stage.opened.is_set(), "the page came before the slow one could have answered"
    text = await reply.text()
    assert 'blnk_exporter_collector_failure{collector="redis",reason="timeout"} 1.0' in text
    assert 'blnk_exporter_collector_success{collector="tables"} 1.0' in text


@pytest.mark.parametrize("stage", [{"web.telemetry_path": "/prom/blnk"}], indirect=True)
async def test_path_is_configurable(stage: Stage) -> None:
    """--web.telemetry-path moves the page, and the first page's link with it."""
    assert (await stage.get("/prom/blnk")).status == 200
    assert (await stage.get("/metrics")).status == 404
    assert 'href="prom/blnk"' in await (await stage.get("/")).text()


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /metrics?" + b"a" * 20_000 + b" HTTP/1.1",
        b"GET /metrics?collect[]=%ff%00 HTTP/1.1",
        b"GET http:///metrics HTTP/1.1",
        b"GARBAGE",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /../../etc/passwd HTTP/1.1",
    ],
)
async def test_garbage_requests_break_nothing(
    stage: Stage, request_line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Port scanners come by: no 500, no traceback, and the next scrape is served."""
    host, port = stage.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer[:12] in {b"", b"HTTP/1.0 400", b"HTTP/1.1 400", b"HTTP/1.1 404"}
    assert b"Traceback" not in answer
    assert [record for record in caplog.records if record.exc_info and record.levelname != "DEBUG"] == []
    assert (await stage.get("/metrics")).status == 200
