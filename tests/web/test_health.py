"""GET /-/healthy and /-/ready."""

import asyncio

from .conftest import Stage


async def test_healthy_at_once(stage: Stage) -> None:
    """A supervisor that asks while the first scrape hangs must not kill us for it."""
    stage.opened.clear()
    scrape = asyncio.create_task(stage.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "0.2"}))
    reply = await stage.get("/-/healthy")
    assert (reply.status, await reply.text()) == (200, "healthy\n")
    assert (await stage.get("/-/healthy", "HEAD")).status == 200
    assert (await stage.get("/-/healthy", "POST")).status == 405
    await scrape


async def test_ready_when_a_scrape_has_completed(stage: Stage) -> None:
    """Not before: a load balancer that trusts us sooner would serve an empty page."""
    reply = await stage.get("/-/ready")
    assert reply.status == 503
    assert "first scrape" in await reply.text()
    await stage.get("/metrics")
    reply = await stage.get("/-/ready")
    assert (reply.status, await reply.text()) == (200, "ready\n")
    assert (await stage.get("/-/ready", "HEAD")).status == 200


async def test_ready_though_what_it_watches_is_down(stage: Stage) -> None:
    """Blnk being down must not take its monitor out of rotation; here one collector fails and one is too slow."""
    stage.opened.clear()
    await stage.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "0.1"})
    assert (await stage.get("/-/ready")).status == 200


async def test_health_reads_nothing(stage: Stage) -> None:
    """Probes come every second; they are not scrapes."""
    await stage.get("/-/healthy")
    await stage.get("/-/ready")
    await stage.get("/")
    assert stage.reads == []
