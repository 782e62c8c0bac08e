"""The page in a real browser: on a desk and on a phone, light and dark, with a keyboard and without sight."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from blnk_exporter.collector import Gap
from blnk_exporter.errors import Refused
from blnk_exporter.web.view import gather

from ..programs import CHROMIUM
from ..scene import Play, queue
from .browser import Tab, tab
from .conftest import HOSTILE, Stage

pytestmark = pytest.mark.needs(CHROMIUM)
WINDOWS = [(width, scheme) for width in (1280, 360) for scheme in ("light", "dark")]
SENTENCE = "Nothing over a limit, nothing unknown."
# Own text of every element that is shown, with its contrast against the first opaque background behind it (WCAG 2.2).
CONTRASTS = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter(e => e.getClientRects().length && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => {
      const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
      return [e.textContent.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
})()
"""


@pytest_asyncio.fixture(scope="module")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tab]:
    """One browser for all of these tests."""
    directory: Path = tmp_path_factory.mktemp("chromium")
    async with tab(directory) as made:
        yield made


@pytest.fixture
def trouble(play: Play) -> Play:
    """Every state at once, and words that have no place to break."""
    play.failures["postgres"] = Refused(f"{HOSTILE} {'x' * 2000}")
    play.gaps["redis"] = tuple(Gap(fact, "refused", f"{HOSTILE} {'x' * 2000}") for fact in ("slow_log", "info"))
    play.series |= {
        "postgres": [("postgres_up", {"address": "db:1"}, 0)],
        "queues": [
            *queue("new:" + "y" * 200, pending_tasks=123456789, oldest_pending_age_seconds=4000, head_task_lost=1),
            *queue("deep", pending_tasks=5000),
            *queue("odd", active_tasks=1),
        ],
        "redis": [("redis_up", {}, 1), ("redis_memory_limited", {}, 0), ("redis_memory_used_bytes", {}, 5)],
    }
    return play


async def open_page(tab: Tab, stage: Stage, *, width: int = 1280, scheme: str = "light") -> None:
    """The page after a scrape, standing still, with all that is folded unfolded."""
    await stage.get("/metrics")
    tab.console.clear()
    tab.requests.clear()
    await tab.show(f"{stage.url}/?refresh=off", width=width, scheme=scheme)
    await tab.ask("document.querySelectorAll('details').forEach(d => d.open = true)")


async def overflows(tab: Tab) -> list[str]:
    """What sticks out of the window, other than inside of a table that scrolls by itself."""
    return await tab.ask(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.wide table') && !e.closest('.skip')"
        " && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5).map(e => e.outerHTML)"
    )


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
async def test_it_fits_and_can_be_read(chromium: Tab, shown: Stage, trouble: Play, width: int, scheme: str) -> None:
    """No sideways scrolling, whatever targets send, and every word has the contrast that WCAG asks for (AA)."""
    await open_page(chromium, shown, width=width, scheme=scheme)
    assert await chromium.ask("document.documentElement.scrollWidth <= window.innerWidth")
    assert await overflows(chromium) == []
    assert await chromium.ask("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    found = await chromium.ask(CONTRASTS)
    assert len(found) > 100
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []
    shades = await chromium.ask("getComputedStyle(document.documentElement).backgroundColor")
    assert shades == ("rgb(18, 21, 25)" if scheme == "dark" else "rgb(255, 255, 255)")


async def test_it_asks_for_nothing_else(chromium: Tab, shown: Stage, trouble: Play) -> None:
    """One request, nothing on the console, and the style sheet is the one that the policy allows."""
    await open_page(chromium, shown)
    assert [url for url in chromium.requests if not url.startswith("data:")] == [f"{shown.url}/?refresh=off"]
    assert chromium.console == []
    assert await chromium.ask("getComputedStyle(document.querySelector('.cards')).display") == "grid"
    assert await chromium.ask("document.querySelectorAll('script').length") == 0


async def test_the_console_is_heard(chromium: Tab, shown: Stage) -> None:
    """A guard that cannot bark guards nothing: what the policy forbids is seen here."""
    await open_page(chromium, shown)
    # The outcome is an event of its own, so that nothing has to be waited for by the clock.
    await chromium.ask(
        "new Promise(done => { addEventListener('securitypolicyviolation', done, {once: true});"
        " document.body.append(Object.assign(new Image(), {src: '/x.png'})); }).then(() => 1)"
    )
    await chromium.call("Runtime.evaluate", expression="1")
    assert any("Content Security Policy" in words for words in chromium.console)


async def test_faint_words_and_wide_ones_are_seen(chromium: Tab, shown: Stage) -> None:
    """The two measures themselves can fail."""
    await open_page(chromium, shown, width=360)
    await chromium.ask(
        "document.querySelector('h1').style.color = '#999'; document.querySelector('h1').style.width = '900px'"
    )
    assert min(ratio for _, ratio in await chromium.ask(CONTRASTS)) < 4.5
    assert len(await overflows(chromium)) == 1


async def test_tables_scroll_inside_themselves(chromium: Tab, shown: Stage) -> None:
    """On a phone the queues are wider than the screen; the keyboard reaches them too."""
    await open_page(chromium, shown, width=360)
    wide = "[...document.querySelectorAll('.wide')]"
    assert await chromium.ask(f"{wide}.some(e => e.scrollWidth > e.clientWidth)")
    assert await chromium.ask(f"{wide}.every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))")
    assert await overflows(chromium) == []


async def test_the_structure_that_a_screen_reader_reads(chromium: Tab, shown: Stage, trouble: Play) -> None:
    """Landmarks, headings without a gap, tables with captions and heads, lines with words."""
    await open_page(chromium, shown)
    counts = await chromium.ask(
        "Object.fromEntries(['html[lang=en]', 'main', 'body > header', 'body > footer', 'nav[aria-label]', 'h1']"
        ".map(s => [s, document.querySelectorAll(s).length]))"
    )
    assert set(counts.values()) == {1}, counts
    levels = await chromium.ask("[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert await chromium.ask("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.innerText)")
    assert await chromium.ask("[...document.querySelectorAll('th')].every(h => h.scope)")
    assert await chromium.ask(
        "[...document.querySelectorAll('section')].every(s => document.getElementById(s.getAttribute('aria-labelledby')))"
    )


async def test_the_tree_of_accessibility(chromium: Tab, shown: Stage, trouble: Play) -> None:
    """What the browser itself tells a screen reader: the state is in words, with its number."""
    await open_page(chromium, shown)
    await chromium.call("Accessibility.enable")
    nodes = (await chromium.call("Accessibility.getFullAXTree"))["nodes"]
    told = {(node.get("role", {}).get("value"), node.get("name", {}).get("value")) for node in nodes}
    roles = {role for role, _ in told}
    assert {"main", "banner", "contentinfo", "navigation", "heading", "table", "columnheader", "rowheader"} <= roles
    names = {name for role, name in told if role == "heading"}
    assert any("things need attention" in str(name) for name in names)
    assert {("StaticText", "critical"), ("StaticText", "unknown"), ("StaticText", "ok")} <= told


async def test_the_keyboard(chromium: Tab, shown: Stage) -> None:
    """The first key leads past the head of the page, and is seen to."""
    await open_page(chromium, shown)
    for kind in ("rawKeyDown", "keyUp"):
        await chromium.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    left, text = await chromium.ask(
        "[document.activeElement.getBoundingClientRect().left, document.activeElement.text]"
    )
    assert text == "Skip to the content"
    assert left >= 0
    assert await chromium.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"


async def test_lines_have_words(chromium: Tab, shown: Stage) -> None:
    """A history of two points is drawn, and told to who does not see it."""
    history = shown.service.memory.history
    await shown.get("/metrics")
    now = shown.service.memory.scraped_at
    assert now
    figures = gather(shown.service, clock=now).figures
    history.note(now - 60, figures)
    history.note(now, figures)
    await open_page(chromium, shown)
    labels = await chromium.ask(
        "[...document.querySelectorAll('svg[role=img]')].map(s => s.getAttribute('aria-label'))"
    )
    assert len(labels) >= 8
    assert all(label.startswith("last ") and "highest" in label for label in labels)


async def test_the_tab_tells_the_state(chromium: Tab, shown: Stage) -> None:
    """Title and dot, on a phone as well, where the sentence is the first thing below the head."""
    await open_page(chromium, shown, width=360)
    assert await chromium.ask("document.title") == "OK \u2013 Blnk"
    assert await chromium.ask("document.querySelector('h1').textContent") == SENTENCE
    assert await chromium.ask("document.querySelector('h1').getBoundingClientRect().top < 200")
    assert "2e9e5b" in await chromium.ask("document.querySelector('link[rel=icon]').href")
