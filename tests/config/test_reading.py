"""When a configuration is read again, and how often."""

from collections.abc import Callable
from pathlib import Path

import pytest

from blnk_exporter import config
from blnk_exporter.config import Loaded, Reading
from blnk_exporter.errors import ConfigError

Load = Callable[[], Loaded]


class Counted:
    """A load that counts itself, and does something once it has read."""

    def __init__(self, load: Load, after: Callable[[], object] = lambda: None) -> None:
        self.times = 0
        self._load, self._after = load, after

    def __call__(self) -> Loaded:  # noqa: D102 - as the class says
        self.times += 1
        try:
            return self._load()
        finally:
            self._after()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "blnk.json").write_text(
        '{"redis": {"dns": "localhost:6379"}, "data_source": {"dns": "postgres://localhost/blnk"}}'
    )
    (tmp_path / "exporter.yml").write_text("limits: {queues: 70}\n")
    return tmp_path / "exporter.yml"


@pytest.fixture
def load(file: Path) -> Load:
    return lambda: config.load(flags={}, environ={}, directory=file.parent, config_file=file)


def test_what_is_known_is_read_once(load: Load, file: Path) -> None:
    """Twice at first, for which files they are only reading them tells."""
    first = Counted(load)
    reading = Reading.of(first)
    assert isinstance(reading.found, Loaded)
    assert first.times == 2
    again = Counted(load)
    assert not Reading.of(again, reading.found.files).has_changed
    assert again.times == 1
    assert file in reading.present


@pytest.mark.parametrize("text", ["limits: {queues: 80}\n", "limits: {queues: many}\n"])
def test_a_change_is_seen(load: Load, file: Path, text: str) -> None:
    reading = Reading.of(load)
    assert not reading.has_changed
    file.write_text(text)
    assert reading.has_changed
    again = Reading.of(load)
    assert isinstance(again.found, ConfigError if "many" in text else Loaded)
    assert not again.has_changed
    file.unlink()
    assert again.has_changed


def test_what_is_written_while_it_is_read_has_changed(load: Load, file: Path) -> None:
    """Otherwise the old one would stay in force for ever."""
    known = Reading.of(load)
    assert isinstance(known.found, Loaded)
    written = Counted(load, lambda: file.write_text("limits: {queues: 500}\n"))
    reading = Reading.of(written, known.found.files)
    assert isinstance(reading.found, Loaded)
    assert reading.found.settings.own.limits.queues == 70
    assert reading.has_changed
