"""The text of exporter.yml into keys and values; whatever is not plain YAML is a fault with its line."""

from collections.abc import Hashable
from typing import Any

import yaml

_QUOTE = "; a value that begins with one of ! & * % @ ` | > [ { # needs quotes"
# PyYAML's own words for the commonest slips; they hold no piece of the file.
_SAFE_PROBLEMS = (
    "could not find expected ':'",
    "mapping values are not allowed here",
    "found character '\\t' that cannot start any token",
    "expected <block end>",
    "found unexpected end of stream",
)


class _Loader(yaml.SafeLoader):
    """Plain YAML: no aliases, no merged keys, no dates, and a key stands once."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key that is no text", key_node.start_mark)
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(None, None, "a key twice", key_node.start_mark)
            seen.add(key_node.value)
        return {key_node.value: self.construct_object(value_node, deep=deep) for key_node, value_node in node.value}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in {"null", "bool", "int", "float"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(content: bytes) -> dict[str, Any]:
    """Read the file's content; raises ValueError in a person's words, without a piece of the file."""
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        problem = _describe(error)
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except yaml.reader.ReaderError:
        problem = "holds a control character"
    except RecursionError:
        problem = "is nested too deeply"
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # An explicit tag on a value that it does not fit ends in whatever Python raises.
        problem = "holds a value that cannot be read"
    else:
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        problem = "must hold keys and their values"
    raise ValueError(problem)


def _describe(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = error.problem or ""
    if problem.startswith(("a key", "an alias")):
        return f"{place}holds {problem}"
    safe = next((f", {known}" for known in _SAFE_PROBLEMS if problem.startswith(known)), _QUOTE)
    return f"{place}is no YAML{safe}"
