"""Every key and variable that a text names can be set."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from blnk_exporter import thresholds
from blnk_exporter.config.blnk_fields import BY_PATH
from blnk_exporter.config.own import CONFIG_FILE, KEYS, SECTIONS, VARIABLES
from blnk_exporter.figures.kinds import KINDS
from blnk_exporter.render import runbooks

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".yml", ".yaml", ".json", ".sql", ".tpl", ".txt", ".sh", ".acl", ".service", ".env", ""}
# ``blnk.`` in front of a name is PostgreSQL's schema far more often than our section.
_KEY = re.compile(rf"(?<![\w./$@:-])(?:{'|'.join(sorted(SECTIONS - {'blnk'}))})\.[a-z_]+(?![\w(/-]|\.\w)")
_VARIABLE = re.compile(r"BLNK_EXPORTER_[A-Z_]*[A-Z]")
# What has the form of a key and is another thing: files, and a function in a drawing.
_NO_KEYS = {"redis.conf", "web.yml", "limits.yml", "postgres.log", "collectors.bind"}


def known() -> set[str]:
    """Our keys, Blnk's, thresholds, figures of the page, and items of the production checklist."""
    checklist = {item for alert in runbooks.alerts().values() for item in alert.checklist}
    return {*KEYS, *BY_PATH, *thresholds.load(), *(kind.name for kind in KINDS), *checklist, *_NO_KEYS}


def texts() -> Iterator[tuple[str, str]]:
    """Every text that ships, with its file; of a module each string separately, docstrings included."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        path = ROOT / name
        if name.startswith(("tests/", "benchmarks/")) or path.suffix not in SUFFIXES or not path.is_file():
            continue
        text = path.read_text("utf-8")
        if path.suffix != ".py":
            yield name, text
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield name, node.value


def unknown(text: str, names: set[str]) -> set[str]:
    """The keys and variables in a text that cannot be set."""
    variables = {found for found in _VARIABLE.findall(text) if found not in {*VARIABLES, CONFIG_FILE}}
    return variables | {found for found in _KEY.findall(text) if found not in names}


def test_every_key_and_variable_named_anywhere_exists() -> None:
    """Help texts, messages, alerts, runbooks, documents and deployment files alike."""
    names = known()
    wrong = {(name, found) for name, text in texts() for found in unknown(text, names)}
    assert sorted(wrong) == []


def test_an_unknown_key_is_found() -> None:
    """A renamed key, a misspelled one and a variable; a file and a column are neither."""
    text = "limits.ledger_open_rows, `ledger.open_row` and BLNK_EXPORTER_LEDGER_OPENROWS; redis.conf, blnk.balances"
    assert unknown(text, known()) == {"limits.ledger_open_rows", "ledger.open_row", "BLNK_EXPORTER_LEDGER_OPENROWS"}
