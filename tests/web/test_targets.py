"""Several deployments behind one endpoint: probes, service discovery, the list for people, and changes while it runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import structlog
from aiohttp import web

from blnk_exporter import config, service
from blnk_exporter.service import Service
from blnk_exporter.web.app import build
from blnk_exporter.web.keys import FLEET

from .conftest import _rooms

AT = {"servers": ["http://127.0.0.1:1"], "workers": []}
GOOD, FAULTY = AT, AT | {"blnk": {"config": "none.json"}}


@dataclass
class Post:
    """An exporter of a fleet, on collectors that do as they are told."""

    file: Path
    service: Service
    app: web.Application
    url: str
    session: aiohttp.ClientSession
    reads: list[str]

    def write(self, targets: Any, **rest: Any) -> None:
        """Exchange exporter.yml."""
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps({"targets": targets} | rest))
        beside.replace(self.file)

    async def get(self, path: str) -> tuple[int, str]:
        """A page and its status."""
        async with self.session.get(self.url + path) as reply:
            return reply.status, await reply.text()

    def services(self) -> dict[str, Service]:
        """Those that have been made."""
        return dict(self.app[FLEET].services)


@pytest_asyncio.fixture
async def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Post]:
    """With the targets a and b and the faulty one c, or what an indirect parameter says."""
    reads: list[str] = []
    opened = asyncio.Event()
    opened.set()
    monkeypatch.setattr(service.collectors, "bind", lambda clients: _rooms(reads, opened))
    file = tmp_path / "exporter.yml"
    targets = getattr(request, "param", {"a": GOOD, "b": GOOD | {"labels": {"region": "eu"}}, "c": FAULTY})
    file.write_text(json.dumps({"targets": targets}))
    made = Service(lambda: config.load(flags={}, environ={}, directory=tmp_path))
    await made.start()
    app = build(made)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Post(file, made, app, f"http://127.0.0.1:{runner.addresses[0][1]}", session, reads)
    await runner.cleanup()
    await made.close()


async def test_a_probe_is_a_scrape_of_that_target(post: Post) -> None:
    """By the same path as /metrics, with its selection."""
    status, body = await post.get("/probe?target=a")
    assert status == 200
    assert 'blnk_exporter_collector_success{collector="redis"} 1.0' in body
    read = list(post.reads)
    assert (await post.get("/probe?target=a&collect[]=redis"))[0] == 200
    assert post.reads[len(read) :] == ["redis"]
    assert (await post.get("/probe?target=a&collect[]=none"))[0] == 400
    assert "blnk_exporter_web_turned_away_total{" not in body
    assert list(post.services()) == ["a"]


@pytest.mark.parametrize("query", ["", "?target=", "?target=x", "?target=http://127.0.0.1:1", "?Target=a"])
async def test_an_unknown_name_is_refused_and_nothing_is_dialled(post: Post, query: str) -> None:
    """With the names that there are; an address is no name."""
    status, body = await post.get(f"/probe{query}")
    assert status == 400
    assert "there are a, b, c" in body
    assert post.reads == []
    assert post.services() == {}


async def test_a_faulty_target_says_so_and_costs_the_others_nothing(post: Post) -> None:
    """503, so that Prometheus has `up` 0 for that one; with the fault itself, which no log need be found for."""
    status, body = await post.get("/probe?target=c")
    assert status == 503
    assert body == "c cannot be watched:\n  exporter.yml targets.c blnk.config: none.json does not exist\n"
    assert (await post.get("/probe?target=a"))[0] == 200
    (post.file.parent / "none.json").write_text('{"data_source": {"dns": "postgres://h/b"}, "redis": {"dns": "h:1"}}')
    assert (await post.get("/probe?target=c"))[0] == 200


async def test_the_exporters_own_page(post: Post) -> None:
    """How many there are, and nothing of a Blnk."""
    status, body = await post.get("/metrics")
    assert status == 200
    assert "\nblnk_exporter_targets 3.0\n" in body
    assert "blnk_exporter_web_turned_away_total{" in body
    assert "blnk_exporter_collector_success" not in body
    assert post.reads == []


async def test_service_discovery(post: Post) -> None:
    """What Prometheus needs of each: where, which parameter, what it is called."""
    status, body = await post.get("/sd")
    here = post.url.removeprefix("http://")
    rows = {entry["labels"]["instance"]: entry for entry in json.loads(body)}
    assert status == 200
    assert list(rows) == ["a", "b", "c"]
    assert rows["b"] == {
        "targets": [here],
        "labels": {"__metrics_path__": "/probe", "__param_target": "b", "instance": "b", "region": "eu"},
    }


async def test_the_list_for_people(post: Post) -> None:
    """Each with its state and a way to its own page, whose links stay with it."""
    for name in "abc":
        await post.get(f"/probe?target={name}")
    status, body = await post.get("/")
    assert status == 200
    assert "3 targets" in body
    assert 'href="?target=a"' in body
    assert "none.json does not exist" in body
    assert body.index("none.json") < body.index("?target=a"), "the worst first"
    status, body = await post.get("/?target=a")
    assert status == 200
    assert "<title>" in body
    assert 'href="?target=a&amp;refresh=off"' in body
    assert 'href="probe?target=a&amp;collect[]=' in body
    assert 'href="./"' in body
    assert (await post.get("/?target=x"))[0] == 400


async def test_a_list_before_anything_was_asked(post: Post) -> None:
    """Unknown is not well."""
    _, body = await post.get("/")
    assert body.count("not asked for yet") == 3
    assert '"state ok"' not in body


async def test_targets_come_and_go_without_a_restart(post: Post) -> None:
    """One that is gone is refused and its connections are closed; one that has changed keeps what it remembers."""
    await post.get("/probe?target=a")
    await post.get("/probe?target=b")
    a, b = (post.services()[name] for name in "ab")
    post.write({"a": GOOD, "b": GOOD | {"limits": {"queues": 7}}, "d": GOOD})
    assert (await post.get("/probe?target=c"))[0] == 400
    assert [(await post.get(f"/probe?target={name}"))[0] for name in "abd"] == [200] * 3
    now = post.services()
    assert (now["a"], now["b"]) == (a, b)
    assert (a.settings.own.limits.queues, b.settings.own.limits.queues) == (1000, 7)
    post.write({"b": GOOD})
    assert (await post.get("/probe?target=b"))[0] == 200
    assert list(post.services()) == ["b"]


@pytest.mark.parametrize("post", [{f"t{n}": AT for n in range(30)}], indirect=True)
async def test_many_go_while_many_ask(post: Post) -> None:
    """Those that stay are answered, those that are gone are refused, and nobody gets an error of ours."""
    names = [f"t{n}" for n in range(30)]
    await asyncio.gather(*(post.get(f"/probe?target={name}") for name in names))
    post.write(dict.fromkeys(names[:10], AT))
    answers = await asyncio.gather(*(post.get(f"/probe?target={name}") for name in names * 2))
    assert [status for status, _ in answers] == ([200] * 10 + [400] * 20) * 2
    assert sorted(post.services()) == sorted(names[:10])


async def test_a_faulty_change_leaves_the_fleet_as_it_was(post: Post) -> None:
    """And says so on the exporter's own page."""
    await post.get("/probe?target=a")
    post.write({"a": {"postgres": {"usr": "x"}}})
    assert (await post.get("/probe?target=a"))[0] == 200
    _, body = await post.get("/metrics")
    assert "blnk_exporter_config_last_reload_successful 0.0" in body
    assert "\nblnk_exporter_targets 3.0\n" in body
    page = (await post.get("/"))[1]
    assert "has become faulty" in page
    assert "postgres.usr: is not a known key" in page


async def test_a_target_that_has_become_another_and_faulty_is_not_the_old_one(post: Post) -> None:
    """Its old figures would go under its new labels; until it is mended it answers with the fault, and only it."""
    for name in "ab":
        await post.get(f"/probe?target={name}")
    post.write({"a": FAULTY, "b": GOOD})
    for _ in range(2):
        status, body = await post.get("/probe?target=a")
        assert (status, "none.json does not exist" in body) == (503, True)
    assert (await post.get("/probe?target=b"))[0] == 200
    post.write({"a": GOOD, "b": GOOD})
    assert (await post.get("/probe?target=a"))[0] == 200


async def test_a_file_of_a_target_that_becomes_faulty_leaves_it_as_it_was(post: Post) -> None:
    """As with a single Blnk; its own page says so, and no other."""
    (post.file.parent / "limits.yml").write_text("queues.depth: {warning: 7}")
    post.write({"a": GOOD | {"thresholds": "limits.yml"}, "b": GOOD})
    for name in "ab":
        await post.get(f"/probe?target={name}")
    (post.file.parent / "limits.yml").write_text("queues.depth: {warning: much}")
    for name, ok in (("a", "0.0"), ("b", "1.0")):
        status, body = await post.get(f"/probe?target={name}")
        assert status == 200
        assert f"blnk_exporter_config_last_reload_successful {ok}" in body


async def test_the_log_says_whose_it_is(post: Post) -> None:
    """Of many deployments, each of which may fail in the same way."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        for name in "ab":
            await post.get(f"/probe?target={name}")
        (post.file.parent / "limits.yml").write_text("nothing: {warning: 1}")
        post.write({"a": GOOD | {"thresholds": "limits.yml"}, "b": GOOD})
        await post.get("/probe?target=a")
    failed = [line["target"] for line in lines if line["event"] == "collector failed"]
    assert sorted(failed) == ["a", "b"]
    assert [line["target"] for line in lines if line["event"] == "configuration not reloaded"] == ["a"]


async def test_many_ask_for_a_new_target_at_once(post: Post) -> None:
    """It is made once."""
    assert {status for status, _ in await asyncio.gather(*(post.get("/probe?target=a") for _ in range(10)))} == {200}
    assert len(post.services()) == 1


async def test_all_are_looked_at_before_the_exporter_is_ready(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a fault is in the log at the start, once."""
    await post.app[FLEET].look_at_all()
    assert list(post.services()) == ["a", "b"]
    await post.get("/probe?target=c")
    assert capsys.readouterr().out.count("target cannot be watched") == 1


@pytest.mark.parametrize("post", [{f"t{n}": AT for n in range(120)}], indirect=True)
async def test_a_long_list_is_cut_in_a_sentence(post: Post) -> None:
    """Where the others are to be found stands behind it."""
    _, body = await post.get("/probe?target=x")
    assert "t49 and 70 more (see /sd)" in body


async def test_one_blnk_can_be_discovered_too(tmp_path: Path) -> None:
    """The same Prometheus configuration serves both sizes; a probe has nothing to name."""
    made = Service(lambda: config.load(flags={"servers": "http://127.0.0.1:1"}, environ={}, directory=tmp_path))
    await made.start()
    runner = web.AppRunner(build(made), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{here}/sd") as reply:
            assert await reply.json() == [{"targets": [here], "labels": {"__metrics_path__": "/metrics"}}]
        async with session.get(f"http://{here}/probe?target=a") as reply:
            assert (reply.status, "watches one Blnk" in await reply.text()) == (400, True)
    await runner.cleanup()
    await made.close()
