"""What is taken for a placeholder, and how much of it is shown."""

import pytest

from blnk_exporter.formats import placeholder


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://blnk:${PW}@db/blnk", "${PW}"),
        ("${DATABASE_URL}", "${DATABASE_URL}"),
        ("${PW:-canary}", "${PW}"),
        ("${PW-canary}", "${PW}"),
        ("${PW:?canary}", "${PW}"),
        ("$(DB_PASSWORD)", "$(DB_PASSWORD)"),
        ("redis://:{{ .Values.canary }}@redis", "{{ … }}"),
        ("{{canary}}", "{{ … }}"),
        # What is not written like a variable may be a part of a secret.
        ("x${canary}y", "${…}"),
        ("x$(canary)y", "$(…)"),
        ("${CANARYcanary}", "${…}"),
        ("${}", "${…}"),
        ("plain", ""),
        ("", ""),
        ("$PW", ""),
        ("%PW%", ""),
        ("p$s{w}o(r)d", ""),
        ("{{", ""),
        ("${PW", ""),
    ],
)
def test_a_placeholder_is_found(text: str, shown: str) -> None:
    """With its name where that cannot be a secret."""
    assert placeholder.shown(text) == shown
    for said in (placeholder.sentence(text), placeholder.question(text)):
        assert bool(said) == bool(shown)
        assert shown in said
        assert "canary" not in said


def test_a_whole_value_is_a_placeholder() -> None:
    """Then it cannot be anything else."""
    assert placeholder.is_whole(" ${DATABASE_URL} ")
    assert placeholder.is_whole("{{ .Values.dsn }}")
    assert not placeholder.is_whole("postgres://${DB}/x")
    assert not placeholder.is_whole("${A}${B}")
