"""Files and functions that a person can hold in mind."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import blnk_exporter

PACKAGE = Path(blnk_exporter.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LINES_MAX, FUNCTION_LINES_MAX, ARGUMENTS_MAX = 400, 50, 6


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def excesses(source: str) -> list[str]:
    found = [f"{len(source.splitlines())} lines"] if len(source.splitlines()) > LINES_MAX else []
    for function in functions(ast.parse(source)):
        lines = (function.end_lineno or 0) - function.lineno + 1
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        count = len([argument for argument in arguments if argument.arg not in {"self", "cls"}])
        if lines > FUNCTION_LINES_MAX:
            found.append(f"{function.name}: {lines} lines")
        if count > ARGUMENTS_MAX:
            found.append(f"{function.name}: {count} arguments")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_and_its_functions_stay_small(path: Path) -> None:
    """What has to be scrolled twice is not read."""
    assert excesses(path.read_text()) == []


def test_an_excess_is_seen() -> None:
    """The guard itself can fail."""
    long_function = "def f(a, b, c, d, e, f, g):\n" + "    x = 1\n" * 60
    assert excesses(long_function + "\n" * 400) == ["461 lines", "f: 61 lines", "f: 7 arguments"]
