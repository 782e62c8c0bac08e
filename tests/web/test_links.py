"""Every link of every page leads to a page, with and without a proxy in front that has a path for the exporter."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import aiohttp
import pytest
import pytest_asyncio

from blnk_exporter.render import runbooks

from ..scene import Play, queue
from .conftest import Stage, healthy, staged
from .proxy import proxied
from .test_status import Page

PATH = "/ops/blnk"
AT = {"servers": ["http://127.0.0.1:1"], "workers": []}
TARGETS = {"targets": {"a": AT, "b-c": AT}}


async def crawled(first: str) -> dict[str, tuple[int, str]]:
    """Every page that links lead to from the first one, with status and content type."""
    found: dict[str, tuple[int, str]] = {}
    waiting = [first]
    async with aiohttp.ClientSession() as session:
        while waiting:
            url = waiting.pop()
            if url in found:
                continue
            async with session.get(url) as reply:
                text = await reply.text()
                found[url] = reply.status, reply.content_type
                if reply.content_type == "text/html":
                    links = (attributes["href"] for attributes in Page(text).all("a"))
                    waiting += [urldefrag(urljoin(str(reply.url), link)).url for link in links if link]
    return found


@pytest_asyncio.fixture
async def below(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    """An exporter with these flags and a trouble on its page; with ``targets`` it is one of several Blnks."""
    flags: dict[str, Any] = dict(getattr(request, "param", {}))
    if flags.pop("targets", False):
        (tmp_path / "exporter.yml").write_text(json.dumps(TARGETS))
    else:
        flags["servers"] = "http://127.0.0.1:1"
    play = Play(healthy() | {"queues": queue("a", pending_tasks=1500)})
    async with staged(tmp_path, play.rooms(*play.series), flags, [], None) as stage:
        yield stage


SHAPES = {
    "no proxy": ({}, None),
    "no proxy, a prefix": ({"web.route_prefix": PATH}, None),
    "a proxy that removes its path": ({}, True),
    "a proxy that removes its path, and is known": (
        {"web.external_url": f"https://ops.example{PATH}", "web.route_prefix": "/"},
        True,
    ),
    "a proxy that keeps its path": ({"web.external_url": f"https://ops.example{PATH}/"}, False),
    "several Blnks": ({"targets": True}, None),
    "several Blnks behind a proxy that removes its path": ({"targets": True}, True),
    "several Blnks behind a proxy that keeps its path": ({"targets": True, "web.route_prefix": PATH}, False),
    "another path of the metrics": ({"web.telemetry_path": "/prom/blnk"}, True),
}


@pytest.mark.parametrize(("below", "strip"), SHAPES.values(), ids=[*SHAPES], indirect=["below"])
async def test_every_link_leads_to_a_page(below: Stage, strip: bool | None) -> None:
    """Whatever is in front: state, metrics by collector, runbooks, discovery and health, and back from each."""
    own = below.service.settings.own.web
    names = [*below.service.targets]
    for name in names:
        await below.get(f"{own.prefix}/probe?target={name}")
    await below.get(own.prefix + own.telemetry_path)
    if strip is None:
        found = await crawled(f"{below.url}{own.prefix}/")
        base = below.url + own.prefix
    else:
        async with proxied(PATH, strip=strip, upstream=below.url) as proxy:
            base = proxy.url
            found = await crawled(f"{base}/")
    # Not ready is a page as well: with targets, no scrape makes it so.
    assert {url: status for url, (status, _) in found.items() if status != 200} in ({}, {f"{base}/-/ready": 503})
    assert [url for url in found if not url.startswith(f"{base}/")] == []
    wanted = {"/", "/runbooks/", own.telemetry_path, *(f"/runbooks/{name}" for name in runbooks.alerts())}
    wanted |= {f"/?target={name}" for name in names} | {"/sd"} if names else {"/?refresh=off", "/-/healthy"}
    wanted |= {f"/probe?target={name}" for name in names}
    assert {f"{base}{path}" for path in wanted} <= found.keys()


@pytest.mark.parametrize("strip", [True, False])
async def test_redirects_and_lost_pages_stay_below_the_path(strip: bool, tmp_path: Path) -> None:
    """What leaves out a slash or is misspelled finds the way back, never the root of the proxy."""
    flags = {"servers": "http://127.0.0.1:1"} | ({} if strip else {"web.route_prefix": PATH})
    play = Play(healthy())
    async with (
        staged(tmp_path, play.rooms(), flags, [], None) as stage,
        proxied(PATH, strip=strip, upstream=stage.url) as proxy,
        aiohttp.ClientSession() as session,
    ):
        base = proxy.url
        async with session.get(f"{base}/runbooks") as reply:
            assert (reply.status, str(reply.url)) == (200, f"{base}/runbooks/")
        for lost in ("/foo", "/foo/bar/", "/runbooks/BlnkNoSuch", "/runbooks/a/b", "/-/foo", "/a%2Fb"):
            async with session.get(base + lost) as reply:
                text = await reply.text()
                assert (lost, reply.status, reply.content_type) == (lost, 404, "text/html")
            hrefs = [str(link["href"]) for link in Page(text).all("a") if not str(link["href"]).startswith("#")]
            assert {urljoin(base + lost, href) for href in hrefs} == {f"{base}/", f"{base}/runbooks/"}
            assert "foo" not in Page(text).text


async def test_the_root_leads_to_the_prefix(tmp_path: Path) -> None:
    """As with Prometheus: other paths outside of the prefix are not found."""
    flags = {"servers": "http://127.0.0.1:1", "web.route_prefix": PATH}
    async with staged(tmp_path, Play(healthy()).rooms(), flags, [], None) as stage:
        for path in ("/", PATH):
            reply = await stage.get(path)
            assert (reply.status, str(reply.url)) == (200, f"{stage.url}{PATH}/")
        for path in ("/metrics", "/-/healthy", "/runbooks/", "/ops", f"{PATH}x"):
            assert (await stage.get(path)).status == 404
            text = await (await stage.get(path)).text()
            assert f"{PATH}/" in {urljoin(path, str(link["href"])) for link in Page(text).all("a")}
        assert (await stage.get(f"{PATH}/-/healthy")).status == 200


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({}, ""),
        ({"web.route_prefix": "/"}, ""),
        ({"web.route_prefix": "ops/blnk/"}, PATH),
        ({"web.external_url": "https://ops.example/ops/blnk/"}, PATH),
        ({"web.external_url": "https://ops.example"}, ""),
        ({"web.external_url": "https://ops.example/other", "web.route_prefix": PATH}, PATH),
        ({"web.external_url": "https://ops.example/other", "web.route_prefix": "/"}, ""),
    ],
)
async def test_the_prefix_is_what_prometheus_makes_of_it(flags: dict[str, str], url: str, tmp_path: Path) -> None:
    """The path of the external address, unless another one is given."""
    async with staged(tmp_path, (), {"servers": "http://127.0.0.1:1"} | flags, [], None) as stage:
        assert (await stage.get(f"{url}/-/healthy")).status == 200


@pytest.mark.parametrize("below", [{"targets": True, "web.route_prefix": PATH}], indirect=True)
async def test_discovery_names_the_path_that_was_asked_for(below: Stage) -> None:
    """A scrape goes the way that discovery came: straight to the exporter, with its prefix."""
    rows = json.loads(await (await below.get(f"{PATH}/sd")).text())
    for row in rows:
        assert row["targets"] == [below.url.removeprefix("http://")]
        path = row["labels"]["__metrics_path__"]
        assert (await below.get(f"{path}?target={row['labels']['__param_target']}")).status == 200


@pytest.mark.parametrize("targets", [True, False])
@pytest.mark.parametrize("strip", [True, False])
async def test_discovery_through_the_proxy_leads_through_the_proxy(strip: bool, targets: bool, tmp_path: Path) -> None:
    """Where the request has the host of the external address, the path is the proxy's, not the exporter's."""
    if targets:
        (tmp_path / "exporter.yml").write_text(json.dumps(TARGETS))
    flags = {} if targets else {"servers": "http://127.0.0.1:1"}
    async with proxied(PATH, strip=strip) as proxy, aiohttp.ClientSession() as session:
        flags |= {"web.external_url": proxy.url} | ({"web.route_prefix": "/"} if strip else {})
        async with staged(tmp_path, (), flags, [], None) as stage:
            proxy.upstream = stage.url
            rows = json.loads(await (await session.get(f"{proxy.url}/sd")).text())
            assert len(rows) == (2 if targets else 1)
            for row in rows:
                labels = row["labels"]
                parameters = {"target": labels["__param_target"]} if targets else {}
                url = f"http://{row['targets'][0]}{labels['__metrics_path__']}"
                assert url.startswith(f"{proxy.url}/")
                async with session.get(url, params=parameters) as reply:
                    assert reply.status == 200


async def test_discovery_behind_tls_that_the_proxy_ends(tmp_path: Path) -> None:
    """The scheme is the external address's, though the exporter itself speaks plain HTTP."""
    flags = {"servers": "http://127.0.0.1:1", "web.external_url": "https://ops.example/blnk", "web.route_prefix": "/"}
    async with staged(tmp_path, (), flags, [], None) as stage:
        reply = await stage.get("/sd", headers={"Host": "ops.example"})
        assert json.loads(await reply.text()) == [
            {"targets": ["ops.example"], "labels": {"__scheme__": "https", "__metrics_path__": "/blnk/metrics"}}
        ]
