"""GET /metrics."""

import asyncio
import gzip
import math
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from aiohttp import web

from .. import exposition
from ..config.settings import Limits
from ..errors import UnknownCollector
from ..metric import Sample
from ..scrape import Snapshot
from ..service import Service
from .keys import FLEET, SERVICE, asked

_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# A shorter one would read nothing, and cost as much.
_BUDGET_SECONDS_MIN = 0.1
# The usual one, 6, takes three times as long for a page that is an eighth smaller.
_GZIP_LEVEL = 1
# A page of more samples than this takes so many milliseconds that the loop should not stand still for it.
_SAMPLES_MAX_AT_ONCE = 2_000


class Gate:
    """How many pages are being made of each service; more than the limit are turned away rather than queued.

    Rendering a large page has a thread of its own: it takes longer than the loop should stand still, and the loop's
    own threads may all wait for a name server that does not answer. For an ordinary page the way there and back costs
    more than it spares.
    """

    def __init__(self) -> None:
        self.busy: Counter[Service] = Counter()
        self.renderer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self.seconds: WeakKeyDictionary[Service, float] = WeakKeyDictionary()
        """How long the last large page of a service took, of which the next scrape leaves as much."""


GATE = web.AppKey("gate", Gate)


async def page(request: web.Request) -> web.Response:
    """One scrape of the one Blnk that is watched; of several, what there is to say of the exporter itself."""
    return await _scraped(request, request.app[SERVICE])


async def probe(request: web.Request) -> web.Response:
    """One scrape of the target that the query names."""
    if "target" not in request.query:
        return web.Response(status=400, text=f"/probe?target=NAME; {request.app[FLEET].known()}\n")
    return await _scraped(request, await asked(request))


async def _scraped(request: web.Request, service: Service) -> web.Response:
    """What ``collect[]`` and ``exclude[]`` select, in the format that ``Accept`` asks for; HEAD reads nothing for it."""
    gate = request.app[GATE]
    limits, under_way = service.settings.own.limits, gate.busy[service]
    if under_way >= limits.requests:
        return web.Response(status=503, text=f"already {under_way} scrapes under way (limits.requests)\n")
    gate.busy[service] += 1
    try:
        budget = budget_seconds(request.headers.get(_TIMEOUT_HEADER), limits)
        collect, exclude = _named(request, "collect"), _named(request, "exclude")
        how = exposition.negotiate(",".join(request.headers.getall("Accept", [])))
        packed = exposition.accepts_gzip(",".join(request.headers.getall("Accept-Encoding", [])))
        # As a header, since aiohttp's content_type= refuses parameters.
        headers = {"Content-Type": how.content_type} | ({"Content-Encoding": "gzip"} if packed else {})
        if request.method == "HEAD":
            service.scraper.select(collect, exclude)
            return web.Response(headers=headers)
        until = asyncio.get_running_loop().time() + budget + min(budget, limits.scrape_timeout_margin_seconds) / 2
        rendering = min(gate.seconds.get(service, 0.0), budget / 2)
        snapshot = await service.scrape(budget_seconds=budget, kept_seconds=rendering, collect=collect, exclude=exclude)

        def body_of(snapshot: Snapshot) -> bytes:
            return _body(service.samples(snapshot), how, limits.series_per_metric, packed=packed)

        body = await _rendered(gate, service, snapshot, body_of, until=until)
    except UnknownCollector as error:
        return web.Response(status=400, text=f"{error}\n")
    finally:
        gate.busy[service] -= 1
        if not gate.busy[service]:
            del gate.busy[service]
    return web.Response(body=body, headers=headers)


async def _rendered(
    gate: Gate, service: Service, snapshot: Snapshot, body_of: Callable[[Snapshot], bytes], *, until: float
) -> bytes:
    """The page; without its largest readings where it is not done at this time of the loop's clock."""
    if snapshot.size <= _SAMPLES_MAX_AT_ONCE:
        gate.seconds.pop(service, None)
        return body_of(snapshot)
    loop = asyncio.get_running_loop()
    started = loop.time()
    rendering = loop.run_in_executor(gate.renderer, body_of, snapshot)
    await asyncio.wait([rendering], timeout=max(0.0, until - started))
    gate.seconds[service] = loop.time() - started
    if rendering.done():
        return rendering.result()
    rendering.cancel()
    return body_of(snapshot.without_large(_SAMPLES_MAX_AT_ONCE))


def _named(request: web.Request, name: str) -> list[str]:
    """Also for who forgets the brackets, who would be given everything."""
    return [*request.query.getall(f"{name}[]", []), *request.query.getall(name, [])]


def _body(samples: Iterable[Sample], how: exposition.Format, series_limit: int, *, packed: bool) -> bytes:
    page = exposition.render(samples, how, series_limit=series_limit)
    return gzip.compress(page, _GZIP_LEVEL, mtime=0) if packed else page


def budget_seconds(header: str | None, limits: Limits) -> float:
    """How long this scrape may take: what Prometheus grants less a margin, at least 0.1 s, at most the limit.

    A header that is missing or makes no sense means the limit.
    """
    try:
        granted = float(header) if header else math.nan
    except ValueError:
        granted = math.nan
    if not math.isfinite(granted) or granted <= 0:
        return limits.scrape_timeout_seconds
    budget = max(granted - limits.scrape_timeout_margin_seconds, granted / 2, _BUDGET_SECONDS_MIN)
    return min(limits.scrape_timeout_seconds, budget)
