"""Runbooks inside a closed network: each alert's link leads to a page, with the limits of this deployment."""

import re
from pathlib import Path

import pytest

from blnk_exporter.render import runbooks
from blnk_exporter.render.rules import templates

from .conftest import Stage


@pytest.fixture(autouse=True)
def mine(tmp_path: Path) -> Path:
    """Limits of a deployment, for who names them."""
    file = tmp_path / "mine.yml"
    file.write_text("queues.depth: {warning: 7}\n")
    return file


ALERTS = [alert.alert for template in templates() for alert in template.alerts]


async def test_every_alert_has_a_page(stage: Stage) -> None:
    """The path is that of `runbook_url`."""
    index = await (await stage.session.get(f"{stage.url}/runbooks/")).text()
    assert re.findall(r'href="(\w+)"', index) == ALERTS
    for name in ALERTS:
        answer = await stage.session.get(f"{stage.url}/runbooks/{name}")
        text = await answer.text()
        assert answer.status == 200
        assert f"<h1>{name}</h1>" in text
        assert [*re.findall("<h2>(.+)</h2>", text)] == [*runbooks.SECTIONS, "Rule"]
        assert "@{" not in text
        assert set(re.findall(r'href="(Blnk\w+)"', text)) <= set(ALERTS)
        assert ".md" not in text


async def test_without_its_slash_it_is_found_too(stage: Stage) -> None:
    """The index, and what its commands take for granted."""
    answer = await stage.session.get(f"{stage.url}/runbooks")
    assert (answer.status, answer.url.path) == (200, "/runbooks/")
    assert "$BLNK_KEY" in await answer.text()


async def test_a_runbook_is_as_hard_as_the_other_pages(stage: Stage) -> None:
    """Nothing from outside, nothing that runs."""
    answer = await stage.session.get(f"{stage.url}/runbooks/{ALERTS[0]}")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in await answer.text()


@pytest.mark.parametrize("name", ["BlnkNoSuch", "%3Cscript%3E", "README"])
async def test_a_name_that_is_no_alerts_is_not_found(stage: Stage, name: str) -> None:
    """And is not repeated on the page."""
    answer = await stage.session.get(f"{stage.url}/runbooks/{name}")
    assert answer.status == 404
    assert "All runbooks" in (text := await answer.text())
    assert "script" not in text


@pytest.mark.parametrize("stage", [{"thresholds": "mine.yml"}], indirect=True)
async def test_limits_are_those_of_the_deployment(stage: Stage, tmp_path: Path) -> None:
    """Changed while it runs, and told at the next scrape."""
    async with stage.session.get(f"{stage.url}/runbooks/BlnkQueuesBacklog") as answer:
        assert "blnk_queues_pending_tasks &gt; 7" in await answer.text()
    (tmp_path / "mine.yml").write_text("queues.depth: {warning: 70}\n")
    await stage.get("/metrics")
    async with stage.session.get(f"{stage.url}/runbooks/BlnkQueuesBacklog") as answer:
        assert "blnk_queues_pending_tasks &gt; 70" in await answer.text()
