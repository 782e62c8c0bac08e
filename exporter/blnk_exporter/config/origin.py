"""Where an effective value came from, and how a fault or the table of values names that place."""

import re
from dataclasses import dataclass
from typing import Any

PREFIX = "BLNK_EXPORTER_"
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Origin:
    """``text`` for the table of values, ``where`` for a fault."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as a layer gives it. Never printed: it may be a secret."""

    value: Any
    origin: Origin

    def __repr__(self) -> str:
        return f"Entry({self.origin.text})"


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """One row of the table of values; a secret is ``***``."""

    path: str
    text_masked: str
    origin: str


def check_text(text: str) -> str:
    """The text itself; refuse what no protocol of ours can carry; raises ValueError without the text, which may be a secret."""
    # Bytes of a variable that are not UTF-8 come as lone surrogates; YAML and JSON can spell them out.
    if SURROGATE.search(text):
        raise ValueError("is not UTF-8 text")
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def printable(text: str) -> str:
    """Make a text fit for a terminal: nothing in it moves the cursor or cannot be encoded."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def default() -> Origin:
    """Name our own default."""
    return Origin("default", "default")


def default_of_blnk(version: str, path: str) -> Origin:
    """Name the default of a release of Blnk."""
    return Origin(f"default of Blnk {version}", f"default of Blnk {version} for {path}")


def file(name: str, path: str) -> Origin:
    """Name a key of a configuration file."""
    return Origin(name, f"{name} {path}")


def environment(name: str, source: str = "") -> Origin:
    """Name a variable, of this process or of the file that ``source`` names."""
    return file(source, name) if source else Origin(f"environment {name}", name)


def flag(path: str, value: object) -> Origin:
    """Name the flag of a path: ``--web.listen-address``, ``--blnk-config``, ``--no-collector.host``."""
    section, _, key = path.partition(".")
    if section == "collectors":
        name = f"--{'no-' if value is False or value == 'false' else ''}collector.{key}"
    elif section == "blnk":
        name = f"--blnk-{key}"
    elif path == "web.config_file":
        name = "--web.config.file"  # as it is called everywhere
    else:
        name = f"--{path.replace('_', '-')}"
    return Origin(f"flag {name}", name)


def secret_file(name: str, key: Origin) -> Origin:
    """Name a file that holds a secret, and what points to it; the contents are not a place of their own."""
    return Origin(f"file {name} ({key.where})", key.where)


def derived(source: str) -> Origin:
    """Name what a target was worked out from."""
    return Origin(f"from {source}", source)
