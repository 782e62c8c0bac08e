"""Scrapers that give a scrape next to no time, beside one that gives it enough."""

import asyncio

import pytest

from blnk_exporter.sandbox import Sandbox

from .exporter import serving

pytestmark = pytest.mark.sandbox

HONEST, IMPATIENT = 30, 4


async def test_impatient_scrapers_fail_no_honest_scrape(healthy: Sandbox) -> None:
    """Of the readings that they begin and honest requests join, none ends before the honest budget does."""
    async with serving(healthy, limits__scrape_timeout_seconds=60) as exporter:
        assert (await exporter.scrape(timeout="60")).whole
        hasty = 0

        async def impatient() -> None:
            nonlocal hasty
            while True:
                await exporter.scrape(timeout="0.001")
                hasty += 1

        clients = [asyncio.create_task(impatient()) for _ in range(IMPATIENT)]
        try:
            honest = [(await exporter.scrape(timeout="60")).failures for _ in range(HONEST)]
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        assert honest == [{}] * HONEST
        assert hasty > 0
        assert [change for change in exporter.service.memory.news.changes if change.what == "failed"] == []
