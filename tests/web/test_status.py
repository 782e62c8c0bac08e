"""GET /: the page for people."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from blnk_exporter import collectors
from blnk_exporter.collector import Gap
from blnk_exporter.errors import Refused, Unreachable
from blnk_exporter.figures import STALE_SECONDS, take
from blnk_exporter.news import FAILURES_KEPT, RECOVERIES_KEPT
from blnk_exporter.web.status import render
from blnk_exporter.web.view import gather

from ..scene import Play, outcome, queue
from .conftest import HOSTILE, Stage


class Page(HTMLParser):
    """A page, by what a test asks of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.parts: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it, and what it is called."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        """It must be the one that was opened last."""
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Belongs to every part that is open."""
        if ("style", None) in self._open:
            return
        self.text += data
        for name in {name for pair in self._open for name in pair if name}:
            self.parts[name] = (self.parts.get(name, "") + data).replace("\u00a0", " ")

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """The attributes of the elements that have these."""
        return [attributes for name, attributes in self.tags if name == tag and wanted.items() <= attributes.items()]


async def read(stage: Stage, path: str = "/") -> Page:
    reply = await stage.get(path)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/html")
    return Page(await reply.text())


async def seen(stage: Stage) -> Page:
    """The page after one more scrape."""
    assert (await stage.get("/metrics")).status == 200
    return await read(stage)


async def test_all_is_well(shown: Stage) -> None:
    """One sentence, in the tab as well."""
    page = await seen(shown)
    assert page.parts["h1"] == "Nothing over a limit, nothing unknown."
    assert page.parts["title"] == "OK \u2013 Blnk"
    assert page.parts["queues.depth"].startswith("Deepest queue3 tasks ok")
    assert page.parts["redis.memory"].startswith("Redis memory25 % ok")
    assert page.parts["host.disk"].startswith("Fullest file system40 % ok")


async def test_every_trouble_leads_to_its_runbook(shown: Stage, play: Play) -> None:
    """Each red line, and each that says what is unknown: at night it must not be searched for."""
    play.series["queues"] = [*queue("a", pending_tasks=1500), *queue("b", pending_tasks=1, head_task_lost=1)]
    play.series["server"] = [("server_up", {"address": "a:1"}, 0)]
    play.failures["postgres"] = Refused("no right")
    play.gaps["redis"] = (Gap("slow_log", "refused", "NOPERM slowlog"),)
    page = await seen(shown)
    wanted = ("BlnkServerDown", "BlnkQueuesBacklog", "BlnkQueuesTasksLost", "BlnkExporterFactMissing")
    for alert in (*wanted, "BlnkExporterCollectorFailing"):
        assert page.all("a", href=f"runbooks/{alert}"), alert
    lines = re.findall(r"<li><span class=\"state (?:critical|warning|unknown)\".*?</li>", page.html)
    top = page.html.index("Key figures")
    assert len([line for line in lines if page.html.index(line) < top]) == 5
    assert [line for line in lines if page.html.index(line) < top and 'href="runbooks/' not in line] == []


async def test_a_faulty_configuration_leads_to_its_runbook(shown: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one trouble that no figure has."""
    await shown.get("/metrics")
    monkeypatch.setattr(shown.service, "reload_faults", "exporter.yml: nonsense")
    page = await read(shown)
    assert page.all("a", href="runbooks/BlnkExporterReloadFailed")
    assert (await shown.get("/runbooks/BlnkExporterReloadFailed")).status == 200


async def test_a_long_reason_is_shown_once(shown: Stage, play: Play) -> None:
    """One Redis that refuses everything leaves many figures unknown; the others say whose reason is theirs."""
    words = f"NOPERM {'x' * 100}"
    play.failures["queues"] = Refused(words)
    play.series["queues"] = ()
    page = await seen(shown)
    assert page.parts["figures"].count(words) == 1
    assert "Deepest queueunknownh:1: NOPERM" in page.parts["figures"]
    assert page.parts["queues.lost"] == "Lost tasksunknownas for Deepest queuecritical if any"
    assert page.all("a", href="#queues.depth")
    play.failures["redis"] = play.failures["queues"]
    page = await seen(shown)
    assert page.parts["collectors"].count(words) == 1
    assert "as for queues" in page.parts["collectors"]


async def test_money_that_moves_is_shown(shown: Stage, play: Play) -> None:
    """How many transactions a second, and how many of them are rejected, out of what scrapes gave."""
    page = await seen(shown)
    assert "ledger.flow" not in page.parts, "the ledger is not watched here"
    flow = shown.service.memory.flow
    for at, applied in ((0, 0.0), (60, 180.0)):
        series = [("ledger_transactions_total", {"status": "APPLIED", "currency": "USD"}, applied)]
        flow.note(outcome("ledger", [*series, ("ledger_rejections_total", {"reason": "error"}, applied / 10)], at=at))
    view = gather(shown.service)
    taken = take({"ledger": outcome("ledger", series)}, {"ledger": True}, shown.service.limits, at=60, flow=flow)
    figure = next(figure for figure in taken if figure.name == "ledger.flow")
    page = Page(render(replace(view, figures=(figure,))))
    assert page.parts["ledger.flow"] == "Transactions3/s with an outcome, over the last 60 s"


async def test_trouble_comes_first(shown: Stage, play: Play) -> None:
    """The sentence counts and names it, worst first; each has its number, its limit, its place and its reason."""
    play.series["queues"] = [*queue("a", pending_tasks=1500), *queue("b", pending_tasks=1, head_task_lost=1)]
    page = await seen(shown)
    assert page.parts["title"] == "1 critical, 1 warning \u2013 Blnk"
    assert page.parts["h1"] == "2 things need attention: Lost tasks and Deepest queue."
    items = [words for words in page.parts["main"].split("\n") if words]
    assert "critical Lost tasks: 1 task (critical if any), b." in items[0]
    assert "warning Deepest queue: 1,500 tasks (warning over 1,000 tasks), a. Workers no longer keep up." in items[0]
    assert page.all("section", **{"class": "headline critical"})
    assert page.all("li", id="queues.depth", **{"class": "card warning"})
    assert page.parts["queues"].index("tasks lost") < page.parts["queues"].index("too deep")


async def test_trouble_has_an_age(shown: Stage, play: Play) -> None:
    """Since when, is what one looks for in other logs; before the first slot is over, nothing is said of it."""
    await seen(shown)
    play.series["queues"] = queue("a", pending_tasks=1500)
    page = await seen(shown)
    assert "(warning over 1,000 tasks), a." in page.parts["main"]
    now = shown.service.memory.scraped_at
    history, figures = shown.service.memory.history, gather(shown.service, clock=now).figures
    old = Page(render(gather(shown.service, clock=now + 82)))
    assert "(warning over 1,000 tasks), read 82 s ago, a." in old.parts["main"]
    for ago in (90, 60, 30, 0):
        history.note(now - ago, figures)
    later = Page(render(gather(shown.service, clock=now + 20)))
    assert "(warning over 1,000 tasks), in trouble for at least 90 s, a." in later.parts["main"]


async def test_unknown_is_neither_zero_nor_ok(shown: Stage, play: Play) -> None:
    """A source that refuses us leaves its figures unknown, with its words, and the collector's failure is told."""
    play.failures["queues"] = Refused("NOPERM no right")
    play.series["queues"] = ()
    page = await seen(shown)
    for name in ("queues.depth", "queues.lost", "queues.paused", "queues.oldest_pending"):
        assert re.search(r"unknown.*h:1: NOPERM no right", page.parts[name])
        assert not re.search(r"\bok\b|\b0 tasks|none", page.parts[name])
    assert "unknown h:1: NOPERM no right" in page.parts["queues"]
    assert page.parts["title"] == "1 warning \u2013 Blnk"
    assert page.parts["h1"] == "1 thing needs attention: 1 collector failed."
    unknown = "5 figures unknown: Deepest queue, Oldest waiting task, Lost tasks and 2 more."
    assert unknown in page.parts["main"]
    play.failures.clear()
    page = await seen(shown)
    assert page.parts["h1"] == f"Nothing over a limit. {unknown}"
    assert page.parts["title"] == "5 unknown \u2013 Blnk"


async def test_what_is_down_is_told_once(shown: Stage, play: Play) -> None:
    """When Redis is gone, that is the news, and not that three collectors could not ask it."""
    for name in ("redis", "queues"):
        play.failures[name] = Unreachable("Connection refused")
    play.series |= {"redis": [("redis_up", {}, 0)], "queues": ()}
    page = await seen(shown)
    assert page.parts["h1"] == "1 thing needs attention: Redis."
    assert re.search(r"Redish:1down.*Connection refused", page.parts["instances"])


async def test_missing_facts_have_their_words(shown: Stage, play: Play) -> None:
    """A right that is missing is told beside its collector, and on top: what is not looked at may be anything."""
    play.gaps["redis"] = (Gap("slow_log", "refused", "NOPERM slowlog"),)
    page = await seen(shown)
    assert "incomplete" in page.parts["collectors"]
    assert "no slow_log: NOPERM slowlog" in page.parts["collectors"]
    assert page.parts["h1"] == "Nothing over a limit. 1 fact missing: redis slow log."
    assert page.parts["title"] == "1 unknown \u2013 Blnk"
    assert page.all("section", **{"class": "headline unknown"})
    assert "unknown redis: does not know slow log: NOPERM slowlog. " in page.parts["main"]


async def test_many_missing_facts_are_few_words(shown: Stage, play: Play) -> None:
    """A login without rights must not push the state off the screen: some are named, with one reason, all are counted."""
    facts = ("sessions", "locks", "replication", "wal", "settings")
    play.gaps["postgres"] = tuple(Gap(fact, "refused", f"{HOSTILE} {'x' * 500}") for fact in facts)
    play.gaps["redis"] = (Gap("slow_log", "timeout"), Gap("info", "malformed"))
    page = await seen(shown)
    words = "7 facts missing: 2 of redis, 5 of postgres."
    assert page.parts["h1"] == f"Nothing over a limit. {words}"
    top = page.parts["main"].partition("Key figures")[0]
    assert page.all("details", open="")
    assert "redis: does not know slow log, info: timeout. " in top
    reason = f"{HOSTILE} {'x' * 500}"[:200]
    assert f"postgres: does not know sessions, locks, replication and 2 more: {reason}…. " in top


async def test_missing_facts_stand_behind_trouble(shown: Stage, play: Play) -> None:
    """They are counted apart from it: nobody knows whether they need attention."""
    play.series["queues"] = queue("a", pending_tasks=1500, paused=0, archived_tasks=0, stale_lease_tasks=0)
    play.series["queues"] += queue("a", oldest_pending_age_seconds=1)
    play.gaps["queues"] = (Gap("clock", "refused", "NOPERM"),)
    page = await seen(shown)
    assert page.parts["h1"] == "1 thing needs attention: Deepest queue."
    assert page.parts["title"] == "1 warning \u2013 Blnk"
    top = page.parts["main"].partition("Key figures")[0]
    assert top.index("warning Deepest queue") < top.index("1 fact missing: queues clock.unknown queues: does not know")
    assert not page.all("details", open="")


async def test_nothing_is_known_before_the_first_scrape(shown: Stage) -> None:
    """An empty page must not look like a healthy deployment."""
    page = await read(shown)
    assert page.parts["h1"] == "No scrape has completed yet: nothing is known."
    assert page.parts["title"] == "Nothing known yet \u2013 Blnk"
    assert "No scrape yet" in page.parts["header"]
    assert not re.search(r"\bok\b", page.text)


async def test_nobody_scrapes(shown: Stage, play: Play) -> None:
    """Old figures are called old, whatever they say, and none of them is OK."""
    play.series["queues"] = queue("a", pending_tasks=1500)
    await seen(shown)
    scraped_at = shown.service.memory.scraped_at
    fresh = Page(render(gather(shown.service, clock=scraped_at + STALE_SECONDS - 1)))
    assert "1,500 tasks warning" in fresh.parts["queues.depth"]
    old = Page(render(gather(shown.service, clock=scraped_at + 840)))
    assert old.parts["h1"] == "Nobody scrapes: what follows is 14 min old."
    assert old.parts["title"] == "Nothing known for 14 min \u2013 Blnk"
    assert "1,500 tasks unknownread 14 min ago" in old.parts["queues.depth"]
    assert not re.search(r"\b(ok|warning|critical)\b", old.parts["queues.depth"].partition("warning over")[0])


async def test_a_faulty_file_needs_attention(shown: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has edited a file believes that it is in force."""
    await shown.get("/metrics")
    monkeypatch.setattr(shown.service, "reload_faults", "exporter.yml limits.queues: must be at least 1")
    page = await read(shown)
    assert page.parts["h1"] == "1 thing needs attention: Configuration."
    assert "exporter.yml limits.queues: must be at least 1" in render(gather(shown.service))


async def test_every_collector_has_a_row(stage: Stage) -> None:
    """Who opens the exporter in a browser sees at once what runs, what does not, and what is off."""
    page = await read(stage)
    assert [name for name in collectors.NAMES if name not in page.parts["collectors"]] == []
    states = {state: len(page.all("span", **{"class": f"state {state}"})) for state in ("waiting", "off")}
    assert states == {"waiting": 3, "off": len(collectors.NAMES) - 3}
    page = await seen(stage)
    found = {state: page.parts["collectors"].count(state) for state in ("failed", "incomplete", "not read yet")}
    assert found == {"failed": 1, "incomplete": 1, "not read yet": 0}
    for path in ("metrics", "-/healthy", "-/ready"):
        assert page.all("a", href=path)


async def test_what_targets_send_is_text(stage: Stage) -> None:
    """A database's error message must not become a script in the operator's browser."""
    page = await seen(stage)
    assert [name for name, _ in page.tags if name == "script"] == []
    assert "<script" not in page.html
    # Source and words of the failure and of the gap, under the collectors, the changes and the headline at least.
    assert page.parts["collectors"].count(HOSTILE) == 3
    assert page.parts["changes"].count(HOSTILE) >= 3
    assert page.parts["main"].index(HOSTILE) < page.parts["main"].index("Key figures")


async def test_names_of_queues_are_text(shown: Stage, play: Play) -> None:
    """Whoever can write to Redis names a queue, and a label is not checked by anybody."""
    play.series["queues"] = queue(HOSTILE, pending_tasks=5000)
    page = await seen(shown)
    assert "<script" not in page.html
    assert page.parts["queues"].count(HOSTILE) == 1
    assert HOSTILE in page.parts["queues.depth"]


async def test_page_may_load_nothing(stage: Stage) -> None:
    """Should something slip through after all, the browser is told to run and to load nothing."""
    for path in ("/", "/metrics", "/-/healthy", "/nothing"):
        headers = (await stage.get(path)).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "blnk-exporter"


async def test_it_can_be_made_to_stand_still(shown: Stage) -> None:
    """A page that reloads under a screen reader, or under a table being read, is in the way."""
    page = await read(shown)
    assert page.all("meta", **{"http-equiv": "refresh", "content": "15"})
    assert page.all("a", href="?refresh=off")
    assert "loads anew every 15 s" in page.parts["header"]
    still = await read(shown, "/?refresh=off")
    assert not still.all("meta", **{"http-equiv": "refresh"})
    assert still.all("a", href="./")


async def test_changes_are_remembered(shown: Stage, play: Play) -> None:
    """What failed and came back in the night is there in the morning; the newest first, the rest folded."""
    for _ in range(FAILURES_KEPT + 5):
        play.failures["queues"] = Unreachable("Connection refused")
        await shown.get("/metrics")
        play.failures.clear()
        await shown.get("/metrics")
    page = await read(shown)
    changes = page.parts["changes"]
    assert changes.count("failed queues h:1") == FAILURES_KEPT
    assert changes.count("works again queues") == RECOVERIES_KEPT
    assert changes.index("works again") < changes.index("failed queues")
    assert re.search(r"\d\d:\d\d:\d\d UTC \(\d+ s ago\): Connection refused", changes)
    assert page.all("time")


async def test_a_collector_that_nobody_asks_for_is_unknown(shown: Stage) -> None:
    """Its silence is not taken for good, also where none of the figures is of it."""
    await shown.get("/metrics?exclude[]=workers")
    page = await read(shown)
    unknown = "2 figures unknown: Workers, Queues nobody consumes. 1 collector not read yet: workers."
    assert page.parts["h1"] == f"Nothing over a limit. {unknown}"


async def test_a_partial_scrape_says_nothing_of_the_others(shown: Stage) -> None:
    """A job that asks for one collector adds to the lines of that one alone."""
    await shown.get("/metrics?collect[]=redis")
    history, now = shown.service.memory.history, shown.service.memory.scraped_at
    assert [point.value for point in history.points("redis.memory", now)] == [0.25]
    assert history.points("queues.depth", now) == ()
    page = await read(shown)
    assert "not read yet" in page.parts["queues.depth"]


async def test_queues_beyond_the_first_are_folded(shown: Stage) -> None:
    """Twenty quiet queues are no reason to scroll."""
    page = await seen(shown)
    assert "13 further queues, none of them in trouble" in page.parts["queues"]
    assert page.parts["queues"].count("new:transaction_") == 20


async def test_every_anchor_is_there(shown: Stage, play: Play) -> None:
    """From each trouble a link leads to its figure, from each figure to its metrics; no id stands twice."""
    play.series["queues"] = queue("a", pending_tasks=1500)
    page = await seen(shown)
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    anchors = [str(link["href"])[1:] for link in page.all("a") if str(link["href"]).startswith("#")]
    assert "queues.depth" in anchors
    assert [anchor for anchor in anchors if anchor not in ids] == []


async def test_the_page_reads_nothing(stage: Stage) -> None:
    """However many screens show it, the databases are asked by scrapes alone."""
    for _ in range(3):
        await read(stage)
    assert stage.reads == []


@pytest.mark.parametrize("name", ["a", "a&b=c"])
async def test_any_query_gets_a_page(shown: Stage, name: Any) -> None:
    """Whatever a link carries."""
    assert (await shown.get(f"/?refresh={name}")).status == 200


async def test_memory_outlives_a_change_of_configuration(shown: Stage, play: Play) -> None:
    """Whoever edits a file in the night does not lose the night's lines and failures with it."""
    play.failures["queues"] = Unreachable("Connection refused")
    await shown.get("/metrics")
    assert await shown.service.reload()
    page = await read(shown)
    assert page.parts["changes"].count("failed queues h:1") == 1
    memory = shown.service.memory
    assert [point.value for point in memory.history.points("redis.memory", memory.scraped_at)] == [0.25]
