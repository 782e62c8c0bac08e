"""blnk.json as Go's encoding/json decodes it."""

import pytest

from blnk_exporter.config.blnk_json import decode

NEWEST = (0, 15, 2)


def values(text: str | bytes) -> dict[str, object]:
    decoded = decode(text if isinstance(text, bytes) else text.encode(), "blnk.json", NEWEST)
    assert decoded.faults == []
    return {path: entry.value for path, entry in decoded.values.items()}


def faults(text: str | bytes) -> list[str]:
    decoded = decode(text if isinstance(text, bytes) else text.encode(), "blnk.json", NEWEST)
    return [str(fault) for fault in decoded.faults]


def test_keys_match_without_case() -> None:
    """Go folds them, the long s and Kelvin's sign included."""
    assert values('{"SERVER": {"Port": "1"}, "Redi\u017f": {"dns": "h"}}') == {"server.port": "1", "redis.dns": "h"}


def test_the_last_of_two_equal_keys_holds() -> None:
    """Sections merge, values replace."""
    assert values('{"server": {"port": "1", "ssl": true}, "Server": {"port": "2"}}') == {
        "server.port": "2",
        "server.ssl": True,
    }


def test_null_changes_nothing() -> None:
    """Except where Go has a pointer."""
    text = '{"server": {"port": "1"}, "server": {"port": null}, "rate_limit": {"burst": 5}, "rate_limit": {"burst": null}, "redis": null}'
    assert values(text) == {"server.port": "1"}
    assert values("null") == {}


def test_every_kind_is_read() -> None:
    """One of each."""
    text = '{"server": {"port": "\\ud800x", "secure": true, "secret_key": "k"}, "queue": {"number_of_queues": 5, "hot_pair_ttl": 300}, "rate_limit": {"requests_per_second": 1.5}, "notification": {"webhook": {"headers": {"a": null}}}}'
    assert values(text) == {
        "server.port": "\ufffdx",
        "server.secure": True,
        "server.secret_key": "k",
        "queue.number_of_queues": 5,
        "queue.hot_pair_ttl": 300,
        "rate_limit.requests_per_second": 1.5,
        "notification.webhook.headers": "set",
    }


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    """As Go does."""
    assert values(b'{"project_name": "\xff"}') == {"project_name": "\ufffd"}


def test_only_the_first_value_is_read() -> None:
    """What follows is ignored, and told."""
    decoded = decode(b'{"project_name": "x"} garbage', "blnk.json", NEWEST)
    assert decoded.notes == ["blnk.json: Blnk reads only the first JSON value and ignores what follows it."]


def test_unknown_keys_are_told_with_the_nearest() -> None:
    """A slip is ignored by Blnk in silence."""
    decoded = decode(b'{"server": {"prot": "1"}, "zzz": 1, "redis": {"dsn": "h"}}', "blnk.json", NEWEST)
    assert decoded.notes == [
        "blnk.json server.prot: Blnk does not know this key and ignores it; the nearest that it knows is server.port.",
        "blnk.json zzz: Blnk does not know this key and ignores it.",
        "blnk.json redis.dsn: Blnk does not know this key and ignores it; the nearest that it knows is redis.dns.",
    ]


def test_many_or_odd_unknown_keys_do_not_flood() -> None:
    """Somebody else's JSON must not fill the terminal, nor write to it."""
    text = "{" + ", ".join(f'"q{number}\\u001b{"x" * 80}": 1' for number in range(30)) + "}"
    notes = decode(text.encode(), "blnk.json", NEWEST).notes
    assert len(notes) == 11
    assert notes[-1] == "blnk.json: Blnk ignores 20 more keys that it does not know."
    assert all(note.isprintable() and len(note) < 200 for note in notes)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"server": {"port": 5001}}', "blnk.json server.port: must be a JSON string"),
        ('{"queue": {"monitoring_port": 5004}}', "blnk.json queue.monitoring_port: must be a JSON string"),
        ('{"redis": {"dns": true}}', "blnk.json redis.dns: must be a JSON string"),
        ('{"server": {"secure": "true"}}', "blnk.json server.secure: must be true or false, without quotes"),
        ('{"queue": {"number_of_queues": "5"}}', "blnk.json queue.number_of_queues: must be a whole JSON number, without quotes"),
        ('{"queue": {"number_of_queues": 5.0}}', "blnk.json queue.number_of_queues: must be a whole JSON number, without quotes"),
        ('{"queue": {"number_of_queues": 99999999999999999999}}', "blnk.json queue.number_of_queues: is out of range"),
        ('{"transaction": {"lock_duration": "30m"}}', 'blnk.json transaction.lock_duration: must be a number of nanoseconds, not text such as "30m"'),
        ('{"transaction": {"lock_duration": 1.5}}', "blnk.json transaction.lock_duration: must be a whole JSON number, without quotes"),
        ('{"rate_limit": {"requests_per_second": "5"}}', "blnk.json rate_limit.requests_per_second: must be a JSON number, without quotes"),
        ('{"rate_limit": {"requests_per_second": 1e999}}', "blnk.json rate_limit.requests_per_second: is out of range"),
        ('{"notification": {"webhook": {"headers": {"a": 1}}}}', "blnk.json notification.webhook.headers: must be a JSON object of strings"),
        ('{"notification": {"webhook": {"headers": []}}}', "blnk.json notification.webhook.headers: must be a JSON object of strings"),
        ('{"redis": "h:6379"}', "blnk.json redis: must be a JSON object"),
        ("[]", "blnk.json: must be a JSON object"),
        ("", "blnk.json: is empty"),
        (" \n", "blnk.json: is empty"),
        ("{'a': 1}", "blnk.json: line 1, column 2: is no JSON, expecting property name enclosed in double quotes"),
        ('{\n  "server": {\n    "port" "5001"\n', "blnk.json: line 3, column 12: is no JSON, expecting ':' delimiter"),
        ('\n\n{"a": nope}', "blnk.json: line 3, column 7: is no JSON, expecting value"),
        ('{"a": NaN}', "blnk.json: holds NaN or Infinity, which are no JSON"),
        ("[" * 100_000, "blnk.json: is nested too deeply"),
        (b"\xef\xbb\xbf{}", "blnk.json: line 1, column 1: begins with a byte order mark, which Blnk cannot read; save it without one"),
    ],
)  # fmt: skip
def test_what_stops_blnk_is_a_fault(text: str | bytes, fault: str) -> None:
    """With the key, or the line and column."""
    assert faults(text) == [fault]


def test_faults_come_together() -> None:
    """Go stops at the first; a person mends all of them at once."""
    assert len(faults('{"server": {"port": 1, "secure": 1}, "redis": {"dns": 1}}')) == 3
