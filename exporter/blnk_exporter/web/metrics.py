"""GET /metrics."""

import asyncio
import gzip
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from .. import exposition
from ..config.settings import Limits
from ..errors import UnknownCollector
from ..metric import Sample
from .keys import SERVICE

_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# The usual one, 6, takes three times as long for a page that is an eighth smaller.
_GZIP_LEVEL = 1
# A page of more samples than this takes so many milliseconds that the loop should not stand still for it.
_SAMPLES_MAX_AT_ONCE = 2_000


class Gate:
    """How many pages are being made; more than the limit are turned away rather than queued.

    Rendering a large page has a thread of its own: it takes longer than the loop should stand still, and the loop's
    own threads may all wait for a name server that does not answer. For an ordinary page the way there and back costs
    more than it spares.
    """

    def __init__(self) -> None:
        self.busy = 0
        self.renderer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")


GATE = web.AppKey("gate", Gate)


async def page(request: web.Request) -> web.Response:
    """One scrape of what ``collect[]`` and ``exclude[]`` select, in the format that ``Accept`` asks for."""
    service, gate = request.app[SERVICE], request.app[GATE]
    limits = service.settings.own.limits
    if gate.busy >= limits.requests:
        return web.Response(status=503, text=f"already {gate.busy} scrapes under way (limits.requests)\n")
    gate.busy += 1
    try:
        budget = budget_seconds(request.headers.get(_TIMEOUT_HEADER), limits)
        snapshot = await service.scrape(
            budget_seconds=budget,
            collect=_named(request, "collect"),
            exclude=_named(request, "exclude"),
        )
        how = exposition.negotiate(",".join(request.headers.getall("Accept", [])))
        packed = exposition.accepts_gzip(",".join(request.headers.getall("Accept-Encoding", [])))
        samples, most = service.samples(snapshot), limits.series_per_metric
        if sum(len(outcome.samples) for outcome in snapshot.outcomes) <= _SAMPLES_MAX_AT_ONCE:
            body = _body(samples, how, most, packed=packed)
        else:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(gate.renderer, lambda: _body(samples, how, most, packed=packed))
    except UnknownCollector as error:
        return web.Response(status=400, text=f"{error}\n")
    finally:
        gate.busy -= 1
    # As a header, since aiohttp's content_type= refuses parameters.
    encoding = {"Content-Encoding": "gzip"} if packed else {}
    return web.Response(body=body, headers={"Content-Type": how.content_type, **encoding})


def _named(request: web.Request, name: str) -> list[str]:
    """Also for who forgets the brackets, who would be given everything."""
    return [*request.query.getall(f"{name}[]", []), *request.query.getall(name, [])]


def _body(samples: Iterable[Sample], how: exposition.Format, series_limit: int, *, packed: bool) -> bytes:
    page = exposition.render(samples, how, series_limit=series_limit)
    return gzip.compress(page, _GZIP_LEVEL, mtime=0) if packed else page


def budget_seconds(header: str | None, limits: Limits) -> float:
    """How long this scrape may take: what Prometheus grants less a margin, never more than the limit.

    A header that is missing or makes no sense means the limit.
    """
    try:
        granted = float(header) if header else math.nan
    except ValueError:
        granted = math.nan
    if not math.isfinite(granted) or granted <= 0:
        return limits.scrape_timeout_seconds
    return min(limits.scrape_timeout_seconds, max(granted - limits.scrape_timeout_margin_seconds, granted / 2))
