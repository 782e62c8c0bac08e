"""What differs from deployment to deployment, and how it comes into a text: ``@{…}``, which no PromQL and no template holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from .. import thresholds
from ..quantity import say
from ..thresholds import Threshold

PLACE = re.compile(r"@\{([^{}]*)\}")
HOST_METRICS = ("blnk-exporter", "node_exporter", "kubelet")


@dataclass(frozen=True, kw_only=True)
class Site:
    """What rules and runbooks are rendered for.

    ``host_metrics`` tells whose series say how the host is, ``host_matchers`` which of node_exporter's or the kubelet's
    are of Blnk's hosts, as PromQL has it: ``instance=~"blnk-.*"``; none is all of them. The jobs are regular expressions
    on Prometheus' label ``job``, of this exporter and of Blnk's own metrics; the URLs are what a person's browser
    reaches. ``side_queues`` are those that no customer waits for, ``noisy_queues`` those among them where tasks fail by
    design: Blnk leaves the expiry of a hold in its queue although the hold was committed or voided long ago.
    """

    limits: Mapping[str, Threshold] = field(default_factory=thresholds.load)
    host_metrics: str = HOST_METRICS[0]
    host_matchers: str = ""
    exporter_job: str = "blnk-exporter"
    blnk_job: str = "blnk.*"
    side_queues: str = thresholds.SIDE_QUEUES
    noisy_queues: str = "new:inflight-expiry"
    exporter_url: str = "http://blnk-exporter:10501"
    grafana_url: str = "http://grafana:3000"


def fill(text: str, site: Site, *, level: str = "") -> str:
    """The text with everything in it that ``@{…}`` stands for.

    ``@{queues.depth.warning}`` is the limit as PromQL has it, ``@{queues.depth.warning | words}`` as people say it,
    ``@{queues.depth.level}`` that of the severity that the rule is for; ``@{exporter_job}`` is a field of the site.
    Raises ValueError for what stands for nothing: a defect of the text.
    """

    def found(match: re.Match[str]) -> str:
        name, _, form = (part.strip() for part in match[1].partition("|"))
        if name in _FIELDS and not form:
            return str(getattr(site, name))
        stem, _, wanted = name.rpartition(".")
        limit = site.limits.get(stem)
        value = getattr(limit, level if wanted == "level" else wanted, None) if wanted in _LEVELS else None
        if limit is None or value is None or form not in {"", "words"}:
            raise ValueError(f"{match[0]} stands for nothing")
        return say(value, limit.unit) if form else f"{value:.10g}"

    filled = PLACE.sub(found, text)
    if "@{" in filled:
        raise ValueError(f"{filled[filled.index('@{') :][:40]!r} is no placeholder")
    return filled


_FIELDS = frozenset(field.name for field in fields(Site)) - {"limits"}
_LEVELS = frozenset({"warning", "critical", "level"})


def limits_in(text: str) -> set[str]:
    """The names of the limits that a text takes a number of."""
    names = (match.partition("|")[0].strip().rpartition(".") for match in PLACE.findall(text))
    return {stem for stem, _, level in names if stem and level in _LEVELS}
