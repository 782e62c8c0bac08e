"""Several deployments: GET /sd for Prometheus, and the page that lists them for people."""

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from ..config import Target
from ..service import Service
from . import headline, sections
from .document import document
from .html import Html, cell, join, number, row, table, tag
from .keys import FLEET, SERVICE
from .view import gather

# So many at a time, so that a scrape need not wait for the whole list.
_AT_ONCE = 20
_ORDER = ("failed", "critical", "warning", "unknown", "waiting", "ok")


async def discovery(request: web.Request) -> web.Response:
    """What there is to scrape, as Prometheus' HTTP service discovery reads it.

    The address is the one that the request came to; a target's path and parameter, its name as ``instance``, and its labels.
    A request for the host of ``web.external_url`` has come through the proxy, and so will the scrapes.
    """
    service, fleet = request.app[SERVICE], request.app[FLEET]
    own = service.settings.own.web
    tls, prefix = service.protection.tls is not None, own.prefix
    outside = urlsplit(own.external_url or "")
    if outside.netloc.lower() == request.host.lower():
        tls, prefix = outside.scheme == "https", outside.path
    scheme = {"__scheme__": "https"} if tls else {}
    if not fleet.targets:
        alone = {"__metrics_path__": prefix + own.telemetry_path}
        return web.json_response([{"targets": [request.host], "labels": scheme | alone}])
    return web.json_response(
        [{"targets": [request.host], "labels": scheme | _labels(target, prefix)} for target in fleet.targets.values()]
    )


def _labels(target: Target, prefix: str) -> dict[str, str]:
    path = {"__metrics_path__": f"{prefix}/probe", "__param_target": target.name}
    return path | {"instance": target.name} | dict(target.labels)


async def page(request: web.Request) -> web.Response:
    """Every target in one line, the worst first: its state, as its own page has it."""
    fleet, service = request.app[FLEET], request.app[SERVICE]
    made, rows = fleet.services, []
    for n, name in enumerate(fleet.targets):
        if n % _AT_ONCE == 0:
            await asyncio.sleep(0)
        rows.append(_row(fleet.targets[name], made.get(name), fleet.faults.get(name)))
    lines = [line for _, line in sorted(rows, key=lambda row: _ORDER.index(row[0]))]
    count = "1 target" if len(rows) == 1 else f"{len(rows)} targets"
    links = (
        (service.settings.own.web.telemetry_path.removeprefix("/"), "Metrics of the exporter"),
        ("sd", "Discovery"),
        ("runbooks/", "Runbooks"),
    )
    nav = tag(
        "nav", tag("ul", *(tag("li", tag("a", text, href=path)) for path, text in links)), aria_label="Other pages"
    )
    body = (
        tag("header", tag("p", tag("strong", "Blnk exporter"), class_="brand")),
        tag(
            "main",
            tag("h1", count),
            _stale(service),
            table(count, ("Target", "State", "What", "#Last scrape"), lines),
            id="main",
        ),
        tag("footer", nav),
    )
    refresh = tag("meta", http_equiv="refresh", content="15") if request.query.get("refresh") != "off" else None
    return web.Response(text=document(f"{count} \u2013 Blnk", *body, head=(refresh,)), content_type="text/html")


def _stale(service: Service) -> Html | None:
    """A word on targets that may be missing here."""
    if not service.reload_faults:
        return None
    words = f"The configuration has become faulty; these are the targets of the one before: {service.reload_faults}"
    return tag("p", sections.state_word("warning"), f" {words}.")


def _row(target: Target, service: Service | None, faults: str | None) -> tuple[str, Html]:
    """Its state, and its line."""
    labels = " ".join(f"{key}={value}" for key, value in target.labels.items())
    about = tag("span", labels, class_="quiet") if labels else None
    if service is None:
        state, words, scraped, name = "failed" if faults else "waiting", faults or "not asked for yet", "", target.name
    else:
        view = gather(service, target=target.name)
        head = headline.sum_up(view)
        state, words, name = head.state, head.sentence, tag("a", target.name, href=view.here())
        scraped = view.ago(view.scraped_at) if view.scraped_at else ""
    return state, row(join(name, " ", about), cell(sections.state_word(state)), cell(words), number(scraped))
