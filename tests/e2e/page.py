"""One scraped page, as the tests ask about it."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ..programs import program

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
COLLECTORS = (
    "server",
    "workers",
    "queues",
    "redis",
    "postgres",
    "tables",
    "statements",
    "ledger",
    "books",
    "catalog",
    "host",
)
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """A page and what came with it; every line of it has been through Prometheus' own parser."""

    body: str
    status: int
    headers: Mapping[str, str]
    seconds: float
    samples: Mapping[str, Mapping[frozenset[tuple[str, str]], float]]

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of all series of a metric that have these labels, among others."""
        wanted = labels.items()
        return [value for series, value in self.samples.get(name, {}).items() if wanted <= dict(series).items()]

    def value(self, name: str, **labels: str) -> float:
        """The one value of a series."""
        (value,) = self.values(name, **labels)
        return value

    def names(self, prefix: str) -> list[str]:
        """The metrics that begin so."""
        return sorted(name for name in self.samples if name.startswith(prefix))

    @property
    def failures(self) -> dict[str, str]:
        """The reason of every collector that failed; asserts that the page's three words on it agree."""
        reasons: dict[str, str] = {}
        for series, value in self.samples["blnk_exporter_collector_failure"].items():
            if value:
                labels = dict(series)
                assert labels["collector"] not in reasons, "two reasons"
                reasons[labels["collector"]] = labels["reason"]
        for name in {dict(series)["collector"] for series in self.samples["blnk_exporter_collector_success"]}:
            assert self.value("blnk_exporter_collector_success", collector=name) == (name not in reasons)
            assert self.values("blnk_exporter_collector_duration_seconds", collector=name)
        return reasons

    @property
    def whole(self) -> bool:
        """Whether every collector ran, and well."""
        ran = {dict(series)["collector"] for series in self.samples["blnk_exporter_collector_success"]}
        return ran == set(COLLECTORS) and not self.failures


def parse(body: str, content_type: str) -> Mapping[str, Mapping[frozenset[tuple[str, str]], float]]:
    """Series by name; refuses a series that is there twice, which Prometheus would drop."""
    read = parse_openmetrics if content_type.startswith("application/openmetrics-text") else parse_text
    samples: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in read(body):
        for sample in family.samples:
            series, labels = samples.setdefault(sample.name, {}), frozenset(sample.labels.items())
            assert labels not in series, f"{sample.name}{dict(labels)} is there twice"
            series[labels] = sample.value
    return samples


def lint(body: str) -> str:
    """What ``promtool check metrics`` has to say: nothing, when all is well."""
    promtool = program("promtool")
    found = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True, check=False)
    return found.stdout + found.stderr + (f"exit {found.returncode}" if found.returncode else "")
