"""GET /: the page for people."""

import time
from collections.abc import Iterator
from html import escape

from aiohttp import web

from .. import __version__
from ..collector import Outcome
from ..service import Service
from .keys import SERVICE

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.read { color: #18794e; } .failed { color: #cd2b31; font-weight: 600; } .off, .waiting { color: #777; }
@media (prefers-color-scheme: dark) { .read { color: #4cc38a; } .failed { color: #ff6369; } .off, .waiting { color: #999; } }
small { color: #777; }
"""


async def page(request: web.Request) -> web.Response:
    """Links, and one row per collector as the last scrape found it; reads nothing itself."""
    return web.Response(text="".join(_page(request.app[SERVICE])), content_type="text/html")


def _page(service: Service) -> Iterator[str]:
    path = escape(service.settings.own.web.telemetry_path)
    yield f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Blnk exporter</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="15"><style>{_STYLE}</style></head><body>
<h1>Blnk exporter <small>{__version__}</small></h1>
<p><a href="{path}">Metrics</a> · <a href="/-/healthy">healthy</a> · <a href="/-/ready">ready</a></p>
<p>Whether each source could be read at the last scrape. What was read is under Metrics.</p>
<table><thead><tr><th>Collector</th><th>Reading</th><th class="number">Took</th><th class="number">Age</th><th>What stood in its way</th></tr></thead><tbody>
"""
    now = time.time()
    for name, enabled in service.scraper.enabled.items():
        yield _row(name, service.scraper.outcomes.get(name), enabled=enabled, now=now)
    yield "</tbody></table></body></html>\n"


def _row(name: str, outcome: Outcome | None, *, enabled: bool, now: float) -> str:
    state, took, age, words = _state(outcome, enabled=enabled, now=now)
    return (
        f'<tr><td>{escape(name)}</td><td class="{state}">{state}</td><td class="number">{took}</td>'
        f'<td class="number">{age}</td><td>{escape(words)}</td></tr>\n'
    )


def _state(outcome: Outcome | None, *, enabled: bool, now: float) -> tuple[str, str, str, str]:
    if not enabled:
        return "off", "", "", "switched off, or its target is not configured"
    if outcome is None:
        return "waiting", "", "", "not scraped yet"
    took, age = f"{outcome.duration_seconds * 1000:.0f} ms", f"{max(0.0, now - outcome.finished_at):.0f} s"
    failures = [f"{result.address}: {result.failure}" for result in outcome.results if result.failure]
    gaps = [f"no {gap.fact}: {gap.detail}" for gap in outcome.gaps]
    return "failed" if failures else "read", took, age, "; ".join([*failures, *gaps])
