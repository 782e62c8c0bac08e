"""GET /: the page for people."""

from html.parser import HTMLParser

from blnk_exporter import collectors

from .conftest import HOSTILE, Stage


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


async def _parsed(stage: Stage) -> tuple[str, _Tags]:
    reply = await stage.get("/")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/html")
    parser = _Tags()
    parser.feed(await reply.text())
    return await reply.text(), parser


async def test_every_collector_has_a_row(stage: Stage) -> None:
    """Who opens the exporter in a browser sees at once what runs, what does not, and what is off."""
    html, parser = await _parsed(stage)
    assert parser.tags.count("tr") == 1 + len(collectors.NAMES)
    assert all(name in parser.text for name in collectors.NAMES)
    assert html.count('class="waiting"') == 3
    assert html.count('class="off"') == len(collectors.NAMES) - 3
    await stage.get("/metrics")
    html, _ = await _parsed(stage)
    assert html.count('class="read"') == 2
    assert html.count('class="failed"') == 1
    for path in ("/metrics", "/-/healthy", "/-/ready"):
        assert f'href="{path}"' in html


async def test_what_targets_send_is_text(stage: Stage) -> None:
    """A database's error message must not become a script in the operator's browser."""
    await stage.get("/metrics")
    html, parser = await _parsed(stage)
    assert "script" not in parser.tags
    assert "<script" not in html
    # The address and the words of the failure, and the words of the gap.
    assert parser.text.count(HOSTILE) == 3


async def test_page_may_load_nothing(stage: Stage) -> None:
    """Should something slip through after all, the browser is told to run and to load nothing."""
    for path in ("/", "/metrics", "/-/healthy", "/nothing"):
        headers = (await stage.get(path)).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "blnk-exporter"
