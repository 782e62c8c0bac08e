"""pydantic's findings in a person's words, without the value that was found."""

from pydantic_core import ErrorDetails

_KINDS = {
    "string": "must be text; put it in quotes",
    "bool": "must be true or false",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "tuple": "must be a list",
    "dict": "must hold keys and their values",
    "model": "must hold keys and their values",
    "missing": "is missing",
    "extra": "is not a known key",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def describe(problem: ErrorDetails) -> str:
    """Say what is wrong; an entry of a list is counted from 1."""
    entry = next((f"entry {part + 1} " for part in problem["loc"] if isinstance(part, int)), "")
    return entry + _what(problem["type"], problem.get("ctx", {}))


def _what(kind: str, context: dict[str, object]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be one of {str(context['expected']).replace(chr(39), '')}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]}"
    return _KINDS.get(kind.partition("_")[0], "is not valid")
