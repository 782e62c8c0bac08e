"""One bad file per rule, with exactly what it must cause beside it."""

from pathlib import Path

import pytest

from blnk_exporter.config import load
from blnk_exporter.errors import ConfigError

BAD = sorted(path for path in (Path(__file__).parent / "bad").iterdir() if path.suffix in {".json", ".yml"})


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_file_causes_its_message(path: Path, tmp_path: Path) -> None:
    """The words are what the operator gets; changing them is a decision."""
    name = "blnk.json" if path.suffix == ".json" else "exporter.yml"
    (tmp_path / name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError) as caught:
        load(flags={}, environ={}, directory=tmp_path)
    assert f"{caught.value}\n" == path.with_suffix(f"{path.suffix}.txt").read_text()


def test_every_message_has_its_file() -> None:
    """And none is left over."""
    assert {path.name for path in BAD} == {path.name.removesuffix(".txt") for path in BAD[0].parent.glob("*.txt")}
