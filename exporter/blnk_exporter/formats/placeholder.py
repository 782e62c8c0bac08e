"""Placeholders of templates that nothing replaced: ``${NAME}``, ``$(NAME)`` and ``{{ … }}``.

``%NAME%`` does not count: it looks like percent-encoding. A password may hold the others, so that only what cannot be
used for another reason is refused because of one.
"""

import re

_PLACEHOLDER = re.compile(r"\$(?:\{([^{}\n]*)\}|\(([^()\n]*)\))|\{\{[^\n]*?\}\}")
# Only what is written like a variable is shown; anything else, a default value for one, may be a secret.
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,59}(?=$|:?[-?+=])")


def shown(text: str) -> str:
    """The first placeholder of a text, without what may be a secret; empty where there is none."""
    match = _PLACEHOLDER.search(text)
    if match is None:
        return ""
    if match[0].startswith("{{"):
        return "{{ … }}"
    name = _NAME.match(match[1] if match[1] is not None else match[2])
    inner = name[0] if name else "…"
    return f"${{{inner}}}" if match[1] is not None else f"$({inner})"


def is_whole(text: str) -> bool:
    """Tell whether a text is one placeholder and nothing else."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def sentence(text: str) -> str:
    """What to say of a value that holds a placeholder, behind its place; empty for any other value."""
    found = shown(text)
    how = "values are used as they are written, so write the value itself"
    return f"holds {found}, which was not replaced; {how}" if found else ""


def question(password: str | None) -> str:
    """What to add to a refused login; empty for a password without a placeholder."""
    found = shown(password or "")
    return f"; the password holds {found}: was it to be replaced?" if found else ""
