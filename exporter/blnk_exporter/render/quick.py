"""Rules and Alertmanager's configuration in quick motion: the same expressions and routes, within seconds.

For the sandbox, whose visitors do not wait an hour for what must hold for an hour. Limits stay what they are.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_HOLD = re.compile(r"^(\s+(?:for|keep_firing_for):) (\S+)$", re.MULTILINE)
_WINDOW = re.compile(r"(\[|\boffset\s+)((?:\d+[a-z]+)+)")
_PART = re.compile(r"(\d+)([a-z]+)")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much quicker: ``holds`` divides what must hold or is waited for, ``windows`` what is looked back at.

    Both are at least four scrapes in a rule: a counter that is read once has no rate, and one scrape proves nothing.
    """

    holds: float = 60
    windows: float = 60
    scrape_seconds: float = 1

    @property
    def scrape(self) -> str:
        """How often is scraped, and rules are looked at."""
        return _said(self.scrape_seconds)

    def hold(self, span: str) -> str:
        """How long a rule's expression must hold."""
        return _said(max(_seconds(span) / self.holds, 4 * self.scrape_seconds))

    def window(self, span: str) -> str:
        """How far a rule looks back."""
        return _said(max(_seconds(span) / self.windows, 4 * self.scrape_seconds))

    def wait(self, span: str) -> str:
        """How long Alertmanager waits; it does not know a wait of nothing between two messages."""
        return _said(max(_seconds(span) / self.holds, 0.1) if _seconds(span) else 0)


def rules(text: str, pace: Pace) -> str:
    """A rendered file of rules with shorter ``for``, ``keep_firing_for``, ranges and offsets."""
    text = _HOLD.sub(lambda match: f"{match[1]} {pace.hold(match[2])}", text)
    return _WINDOW.sub(lambda match: match[1] + pace.window(match[2]), text)


def alertmanager(text: str, pace: Pace, webhook: str) -> str:
    """A configuration with the same routes and inhibitions, whose receivers are one webhook each: ``webhook/<receiver>``.

    Only the receiver called nowhere stays silent: those of the shipped file send nothing until an operator fills them in.
    Working hours do not count, so that tickets are also seen on a Sunday. Raises ValueError for a text that is not a
    configuration of Alertmanager.
    """
    try:
        config = yaml.safe_load(text)
        receivers = [_local(receiver, webhook) for receiver in config["receivers"]]
        kept = {"route": _quicker(config["route"], pace), "inhibit_rules": config.get("inhibit_rules", [])}
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise ValueError("is no configuration of Alertmanager with a route and receivers") from error
    # JSON is YAML, too.
    return json.dumps(kept | {"receivers": receivers}, indent=2)


def _quicker(route: Mapping[str, Any], pace: Pace) -> dict[str, Any]:
    kept = {key: value for key, value in route.items() if key not in {"active_time_intervals", "mute_time_intervals"}}
    kept |= {key: pace.wait(kept[key]) for key in ("group_interval", "repeat_interval") if key in kept}
    # As long as a rule holds at least: what a cause mutes may fire a moment before it.
    kept |= {"group_wait": pace.hold(kept["group_wait"])} if _seconds(kept.get("group_wait", "")) else {}
    return kept | {"routes": [_quicker(child, pace) for child in route.get("routes", ())]}


def _local(receiver: Mapping[str, Any], webhook: str) -> dict[str, Any]:
    tells = receiver["name"] != "nowhere"
    hooks = [{"url": f"{webhook}/{receiver['name']}", "send_resolved": True}] if tells else []
    return {"name": receiver["name"], "webhook_configs": hooks}


def _seconds(span: str) -> float:
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(span))


def _said(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms" if seconds else "0s"
