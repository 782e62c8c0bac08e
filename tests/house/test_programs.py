"""Programs of other projects are looked for in one place, so that a missing one fails in CI."""

import re
from pathlib import Path

import pytest

from .. import programs

TESTS = Path(__file__).parents[1]
# Reasons that no package can take away, by the file that gives them.
SKIPS = {
    "config/test_files.py": "root may read everything",
    "collectors/test_postgres_settings.py": "a value that came with 18",
    "e2e/test_demo.py": "who is no root|nobody can reach no",
    "sandbox/test_postgres.py": "only root can drop privileges",
    "sandbox/test_run.py": "needs root to become somebody else|no interpreter here",
    "sandbox/test_valkey.py": "only root can drop privileges",
}


def test_only_tests_programs_looks_for_programs() -> None:
    """A separate skip in a test would also be skipped in CI."""
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        name = str(path.relative_to(TESTS))
        if name in {"programs.py", "house/test_programs.py"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            looks = re.search(r"shutil\.which\(|importorskip\(", line)
            skips = re.search(r"\bskip(if)?\(", line) and not re.search(SKIPS.get(name, r"\0"), line)
            if looks or skips:
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("ci", ["true", ""])
def test_a_missing_program_fails_in_ci(ci: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    expected = pytest.fail.Exception if ci else pytest.skip.Exception
    with pytest.raises(expected, match=r"no-such-program is missing; sh deploy/tools\.sh"):
        programs.program("no-such-program")
