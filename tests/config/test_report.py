"""What check-config prints."""

from blnk_exporter.config.report import render_check
from blnk_exporter.errors import ConfigError, Fault


def test_values_stand_in_columns(loading) -> None:
    """Read at a terminal, so aligned."""
    lines = render_check(loading(blnk={})).splitlines()
    assert lines[0].split() == ["blnk.config", "blnk.json", "default"]
    table = lines[: lines.index("")]
    start = lines[0].index("blnk.json")
    assert all(line[start - 1] == " " and line[start] != " " for line in table)
    assert lines[-1] == "The configuration is valid."


def test_notes_follow_the_table(loading) -> None:
    """What was assumed, each on its line."""
    report = render_check(loading(blnk={}))
    assert "\n\nnote: The defaults of Blnk 0.15.2 are assumed" in report


def test_no_notes_leave_no_gap(loading) -> None:
    """Nothing to say, nothing printed."""
    flags = {"servers": "http://a", "blnk.enabled": False}
    assert "note:" not in render_check(loading(flags=flags))


def test_faults_stand_alone() -> None:
    """Where: what, and how many."""
    assert render_check(ConfigError([Fault("a", "is b")])) == "1 fault in the configuration:\n  a: is b\n"
    assert render_check(ConfigError([Fault("c", "is d"), Fault("a", "is b")])).startswith(
        "2 faults in the configuration:\n  a: is b\n  c"
    )


def test_nothing_moves_the_cursor(loading) -> None:
    """A queue's name is whatever somebody wrote."""
    report = render_check(loading(blnk={"queue": {"index_queue": "a\x1b[2Jb"}}))
    assert "\x1b" not in report
