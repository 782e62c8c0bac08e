"""Loading from plain dictionaries: files by name, variables, flags."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from blnk_exporter.config import Loaded, load
from blnk_exporter.errors import ConfigError

MINIMAL = {"data_source": {"dns": "postgres://blnk:pw@db/blnk"}, "redis": {"dns": "redis://:pw@cache:6379"}}


@pytest.fixture
def loading(tmp_path: Path) -> Callable[..., Loaded]:
    """Load from a directory of its own; ``blnk`` is a dict that is put over the least that Blnk starts with."""

    def run(
        files: Mapping[str, str | bytes] | None = None,
        *,
        blnk: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
        config_file: Path | None = None,
    ) -> Loaded:
        written = dict(files or {})
        if blnk is not None:
            written["blnk.json"] = json.dumps(MINIMAL | dict(blnk))
        for name, content in written.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(flags=flags or {}, environ=environ or {}, directory=tmp_path, config_file=config_file)

    return run


@pytest.fixture
def faults(loading: Callable[..., Loaded]) -> Callable[..., list[str]]:
    """Load what cannot be loaded and return every fault."""

    def run(*args: Any, **more: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loading(*args, **more)
        return [str(fault) for fault in caught.value.faults]

    return run


@pytest.fixture
def origins(loading: Callable[..., Loaded]) -> Callable[..., dict[str, tuple[str, str]]]:
    """Load and return the table of values by path."""

    def run(*args: Any, **more: Any) -> dict[str, tuple[str, str]]:
        return {value.path: (value.text_masked, value.origin) for value in loading(*args, **more).values}

    return run
