"""What check-config says of a PostgreSQL login: who logs in, and whether the server is verified."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with an arbitrary user id and an empty environment, as on OpenShift."""
    for name in ("PGUSER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1_000_650_000)


@pytest.mark.usefixtures("nameless")
def test_no_user_is_a_fault(faults) -> None:
    """It was valid here, and later the answer was not PostgreSQL's."""
    assert faults(blnk={"data_source": {"dns": "postgres://h/d"}}, flags={"postgres.replicas": "host=r"}) == [
        "--postgres.replicas entry 1: has no user, and the user id of the exporter has no name: set postgres.user",
        "blnk.json data_source.dns: has no user, and the user id of the exporter has no name: set postgres.user",
    ]


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize(
    ("dsn", "flags", "environ"),
    [
        ("postgres://u@h/d", {}, {}),
        ("postgres://h/d", {"postgres.user": "u"}, {}),
        ("postgres://h/d", {}, {"PGUSER": "u"}),
        ("postgres://h/d", {}, {"USER": "u"}),
    ],
)
def test_a_user_may_come_from_elsewhere(
    loading, dsn: str, flags: dict[str, str], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert loading(blnk={"data_source": {"dns": dsn}}, flags=flags).settings.postgres


UNVERIFIED = "sslmode=require encrypts, but does not verify the server: verify-full with sslrootcert does."
NEITHER = "neither insists on TLS nor verifies the server: verify-full does both."


@pytest.mark.parametrize(
    ("dsn", "note"),
    [
        ("host=db", f"sslmode=prefer {NEITHER}"),
        ("host=db sslmode=allow", f"sslmode=allow {NEITHER}"),
        ("host=localhost,db sslmode=require", UNVERIFIED),
        ("host=10.0.0.1 sslmode=require", UNVERIFIED),
        ("host=db sslmode=require sslrootcert=ca.crt", None),
        ("host=db sslmode=verify-ca sslrootcert=ca.crt", None),
        ("host=db sslrootcert=system", None),
        ("host=db sslmode=disable", None),
        ("host=localhost", None),
        ("host=127.0.0.1", None),
        ("host=::1", None),
        ("host=/run", None),
    ],
)
def test_a_server_that_is_not_verified_is_noted(loading, dsn: str, note: str | None) -> None:
    """Encrypted is not the same as safe: any server can encrypt."""
    notes = loading({"ca.crt": ""}, blnk={}, flags={"postgres.dsn": f"user=u {dsn}"}).notes
    assert [text for text in notes if "verify" in text] == ([f"--postgres.dsn: {note}"] if note else [])


def test_blnks_default_is_noted_too(loading) -> None:
    assert f"blnk.json data_source.dns: {UNVERIFIED}" in loading(blnk={}).notes


def test_one_primary_of_several_hosts_and_its_standbys(loading) -> None:
    """The string with all hosts is one server; each of them may be named once more as a replica."""
    loaded = loading(
        blnk={},
        flags={
            "postgres.dsn": "host=a,b user=u target_session_attrs=primary",
            "postgres.replicas": "postgres://u@a,postgres://u@b",
        },
    )
    assert [dsn.address for dsn in loaded.settings.postgres] == ["a:5432,b:5432", "a:5432", "b:5432"]
