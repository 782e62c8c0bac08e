"""Every key of the exporter's own configuration, as a document."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, get_args

from .. import collectors
from ..config.own import LEAVES, Reading
from ..config.settings import Own

_HEAD = """# Configuration

Rendered from the settings by `blnk-exporter settings`; edit those, not this.

Nothing has to be written where the exporter finds Blnk's own `blnk.json` and `BLNK_*` variables. A key stands in three
places, of which the later wins:

- in `exporter.yml` in the working directory, or the file that `--config.file` or `BLNK_EXPORTER_CONFIG_FILE` names, as YAML:
  `limits.queues` is the key `queues` of the section `limits`;
- in the environment: `limits.queues` is `BLNK_EXPORTER_LIMITS_QUEUES`, a list has commas between its entries, and a variable
  that is empty is not set;
- as a flag, where `blnk-exporter serve --help` names one.

Each secret may stand in a file of its own, which is read again when it changes: the key with `_file` behind it names it, as
`postgres.password_file` or `BLNK_EXPORTER_POSTGRES_PASSWORD_FILE`. Relative paths begin at the working directory. A key that is
not listed here is refused, and so is a value that is not what its type says. `blnk-exporter check-config` prints what is in
force and where each value comes from.

With `targets` one exporter watches several Blnks: [fleet.md](fleet.md) says how, and which keys a target may have.
"""
_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def markdown() -> str:
    """The document, a section per table of exporter.yml, in the order of the settings."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    defaults = {value.path: _default(value.text_masked) for value in Reading().values}
    for section, paths in groupby(LEAVES, lambda path: path.rpartition(".")[0]):
        keys = list(paths)
        model = Own.model_fields[section].annotation if section else Own
        yield f"## {section or ' and '.join(keys)}\n"
        if section:
            yield f"{(model.__doc__ or '').replace('``', '`')}\n"
        yield "| key | type | unit | default | meaning |\n| --- | --- | --- | --- | --- |"
        for path in keys:
            name = path.rpartition(".")[2]
            field: Any = model.model_fields[name]  # type: ignore[union-attr]
            cells = (_kind(field), _unit(name, field), defaults[path], _meaning(section, name, field))
            yield f"| `{path}` | {' | '.join(cells)} |"
        yield ""


def _default(text: str) -> str:
    return text if text in {"not set", "none"} else f"`{text}`"


def _kind(field: Any) -> str:
    written = str(field.annotation)
    what = "secret" if "SecretStr" in written else "text"
    if "tuple" in written:
        return f"list of {what}s"
    if choices := [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]:
        return " or ".join(f"`{choice}`" for choice in choices)
    known = next((kind for kind in (field.annotation, *get_args(field.annotation)) if kind in _KINDS), None)
    return " ".join([_KINDS[known] if known else what, *_bounds(field.metadata)])


def _bounds(rules: list[Any]) -> Iterator[str]:
    for name, words in (("gt", "over"), ("ge", "from"), ("le", "to")):
        yield from (f"{words} {getattr(rule, name):,}" for rule in rules if hasattr(rule, name))


def _unit(name: str, field: Any) -> str:
    """The name's own last word, which a number always has."""
    if field.annotation not in {int, float}:
        return ""
    return name.replace("_", " ") if "_per_" in name else name.rpartition("_")[2]


def _meaning(section: str, name: str, field: Any) -> str:
    if section == "collectors":
        return next(collector.help for collector, _ in collectors.ROOMS if collector.name == name)
    return field.description or ""
