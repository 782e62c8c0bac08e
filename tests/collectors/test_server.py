"""The room of Blnk's API servers; what answers mean is tested in tests/test_health.py."""

from dataclasses import dataclass

from blnk_exporter.collector import Result
from blnk_exporter.collectors import server
from blnk_exporter.errors import Unreachable
from blnk_exporter.health import DOWN_REASONS, STATUS_CLASSES, Health

from .conftest import Somewhere, page, read_page, unseen


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes | None
    elapsed_seconds: float = 0.5


@dataclass
class Blnk:
    """An instance that always answers the same."""

    reply: Reply
    address: str = "a:1"

    async def get(self, path: str) -> Reply:
        """Whatever is asked."""
        return self.reply


def test_samples_of_two_instances() -> None:
    """One up, one gone: exact series, none for what was not measured."""
    results = [
        Result(Somewhere("a:1"), Health(status=200, elapsed_seconds=0.5)),
        Result(Somewhere("b:2"), failure=Unreachable("gone")),
    ]
    assert page(server.COLLECTOR.samples(results)) == {
        "blnk_server_up": {("a:1",): 1, ("b:2",): 0},
        "blnk_server_down": {
            **{("a:1", reason): 0 for reason in DOWN_REASONS},
            **{("b:2", reason): float(reason == "unreachable") for reason in DOWN_REASONS},
        },
        "blnk_server_response_status": {("a:1", name): float(name == "2xx") for name in STATUS_CLASSES},
        "blnk_server_response_seconds": {("a:1",): 0.5},
    }


async def test_every_metric_is_told_of_a_living_instance() -> None:
    """A declared metric that never comes is a promise broken."""
    found = await read_page(server.COLLECTOR, Blnk(Reply(200, b'{"status":"UP"}')))
    assert unseen(server.COLLECTOR, found) == set()
    assert found["blnk_server_up"] == {("a:1",): 1}


async def test_a_database_that_does_not_answer_blnk() -> None:
    """The reason is Blnk's own."""
    found = await read_page(server.COLLECTOR, Blnk(Reply(503, b'{"status":"DOWN","reason":"database ping failed"}')))
    assert found["blnk_server_down"][("a:1", "database_ping_failed")] == 1
    assert found["blnk_server_response_status"][("a:1", "5xx")] == 1
