"""What each dashboard shows, and where an alert is seen."""

from collections.abc import Mapping
from functools import cache

from ..board import Board
from .host import HOST
from .ledger import LEDGER
from .overview import OVERVIEW
from .postgres import POSTGRES
from .queues import QUEUES
from .redis import REDIS

BOARDS: tuple[Board, ...] = (OVERVIEW, QUEUES, LEDGER, POSTGRES, REDIS, HOST)


@cache
def places() -> Mapping[str, str]:
    """The path in Grafana of the panel that shows an alert's expression, by alert."""
    return {
        alert: f"/d/{board.uid}?viewPanel={board.id(panel)}"
        for board in reversed(BOARDS)
        for panel in reversed([*board.panels()])
        for alert in panel.alerts
    }
