"""The document of the settings: every key with its meaning, and as committed."""

from pathlib import Path

import pytest

from blnk_exporter.config.own import LEAVES
from blnk_exporter.render import configuration

ROOT = Path(__file__).parents[2]


def rows() -> dict[str, tuple[str, str, str, str]]:
    """Type, unit, default and meaning by key."""
    lines = [line for line in configuration.markdown().splitlines() if line.startswith("| `")]
    found = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    assert {len(cells) for cells in found} == {5}
    return {cells[0].strip("`"): (cells[1], cells[2], cells[3], cells[4]) for cells in found}


def test_the_committed_document_agrees_with_the_settings() -> None:
    """A key that is described otherwise than it works costs a night; make docs renders it anew."""
    assert (ROOT / "docs/configuration.md").read_text() == configuration.markdown() + "\n"


def test_every_key_has_its_meaning() -> None:
    """In a sentence, as metrics have."""
    assert list(rows()) == list(LEAVES)
    assert [key for key, (*_, meaning) in rows().items() if len(meaning) < 20 or meaning[-1] != "."] == []


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("blnk.enabled", ("true or false", "", "`true`")),
        ("servers", ("list of texts", "", "not set")),
        ("postgres.password", ("secret", "", "not set")),
        ("postgres.replicas", ("list of secrets", "", "none")),
        ("redis.ca_file", ("text", "", "not set")),
        ("redis.tls_verify", ("true or false", "", "not set")),
        ("ledger.history_days", ("number over 0 to 3,650", "days", "`30.0`")),
        ("ledger.open_rows", ("whole number from 100 to 1,000,000", "rows", "`50000`")),
        ("books.trial_balance", ("`auto` or `on` or `off`", "", "`auto`")),
        ("limits.scrape_timeout_margin_seconds", ("number from 0 to 60", "seconds", "`0.5`")),
        ("limits.series_per_metric", ("whole number from 10 to 100,000", "series per metric", "`2000`")),
    ],
)
def test_a_key_is_told_as_it_is_checked(key: str, told: tuple[str, str, str]) -> None:
    """Type with its bounds, unit and default, one of each kind."""
    assert rows()[key][:3] == told
