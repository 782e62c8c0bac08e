"""Which of Blnk's processes Prometheus scrapes for Blnk's own metrics: a file for ``file_sd_configs``."""

from collections.abc import Iterable, Mapping

from ..config.address import is_port
from .tree import MARK

FILE = "blnk-targets.yml"
OWNED = (FILE,)
# Releases before it answer 404 on /metrics, so that their targets would stay down.
SINCE = (0, 14, 0)


def address(text: str) -> str:
    """Check ``host:port`` as Prometheus takes it; raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not is_port(port) or not text.isprintable() or any(sign in host for sign in " /\"'"):
        raise ValueError(f"{text!r} must be host:port")
    return text


def has_metrics(version: str) -> bool:
    """Tell whether a release of Blnk exports metrics itself."""
    return tuple(map(int, version.split("."))) >= SINCE


def render(version: str, addresses: Iterable[str]) -> Mapping[str, str]:
    """Path and text of the file; it holds an empty list where the release has nothing to scrape."""
    given = [*addresses] if has_metrics(version) else []
    lines = [f'    - "{one}"' for one in given]
    body = "\n".join(["- targets:", *lines]) if given else "[]"
    return {FILE: f"# {MARK}targets` for Blnk {version}.\n{body}\n"}
