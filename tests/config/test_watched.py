"""What is watched: derived from Blnk's configuration, replaced by our own, with faults and notes."""

import pytest


def test_blnks_configuration_alone_is_enough(loading) -> None:
    """The promise to a Blnk user."""
    settings = loading(blnk={"server": {"port": "6001"}, "queue": {"monitoring_port": "6004"}}).settings
    assert settings.servers == ("http://127.0.0.1:6001",)
    assert settings.workers == ("http://127.0.0.1:6004",)
    assert [dsn.address for dsn in settings.postgres] == ["db:5432"]
    assert settings.postgres[0].sslmode == "require"
    assert settings.redis.address == "cache:6379"
    assert settings.blnk_role == "blnk"


def test_assumed_addresses_are_told(loading) -> None:
    """In a container this machine is not Blnk's."""
    notes = loading(blnk={}).notes
    assert "Blnk's servers are expected at http://127.0.0.1:5001; where they run elsewhere, set servers." in notes
    assert not any("workers are expected" in note for note in loading(blnk={}, flags={"workers": "http://w"}).notes)


def test_our_own_targets_replace_blnks(loading) -> None:
    """Each by itself."""
    flags = {"servers": "http://a:1,https://b/blnk/", "redis.dsn": "rediss://u:pw@r"}
    settings = loading(blnk={}, flags=flags).settings
    assert settings.servers == ("http://a:1", "https://b/blnk")
    assert settings.workers == ("http://127.0.0.1:5004",)
    assert (settings.redis.address, settings.redis.username) == ("r:6379", "u")


def test_our_login_goes_over_every_postgres(loading) -> None:
    """A monitoring role, not Blnk's."""
    environ = {
        "BLNK_EXPORTER_POSTGRES_USER": "watch",
        "BLNK_EXPORTER_POSTGRES_PASSWORD": "other",
        "BLNK_EXPORTER_POSTGRES_REPLICAS": "postgres://x:y@r1/d,postgres://r2/d",
    }
    settings = loading(blnk={}, environ=environ).settings
    assert [dsn.address for dsn in settings.postgres] == ["db:5432", "r1:5432", "r2:5432"]
    assert {(dsn.user, dsn.password.get_secret_value()) for dsn in settings.postgres} == {("watch", "other")}
    assert settings.blnk_role == "blnk"


CA = """-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUTm5D1YRlu3rb4ygAZLK0glsGlJswCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEYSBDQTAgFw0yNjExMjMwNDU2MTlaGA8yMTI2MTAzMDA0NTYx
OVowDzENMAsGA1UEAwwEYSBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIEg
nEnMihKF5NfEINchNsCeNm9/R1+llEciwCTuUFdgVogmiONrSRmQMMWmaoeYwnWE
eXdAA6qeKYO+uQ7ki/ujUzBRMB0GA1UdDgQWBBRUsUH33qMWUuXLBGuQ1xI388qj
/jAfBgNVHSMEGDAWgBRUsUH33qMWUuXLBGuQ1xI388qj/jAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIGgmuH1nNtD5O7opmLYM9ycxEw4K+3Cpxojc
unxbjZGFAiEAurHrqkuJO2FKd5PJjOXAlZKfrdjjtsg5P5F7PqLZ5Rk=
-----END CERTIFICATE-----
"""


def test_our_login_goes_over_redis(loading) -> None:
    """And TLS may be verified by a private authority."""
    environ = {"BLNK_EXPORTER_REDIS_USERNAME": "watch", "BLNK_EXPORTER_REDIS_PASSWORD": "other"}
    redis = loading(
        {"ca.pem": CA},
        blnk={"redis": {"dns": "rediss://h", "skip_tls_verify": True}},
        environ=environ,
        flags={"redis.ca_file": "ca.pem"},
    ).settings.redis
    assert (redis.username, redis.password.get_secret_value(), redis.tls_verify) == ("watch", "other", False)
    assert redis.ca_file.endswith("/ca.pem")
    assert (
        loading(blnk={"redis": {"dns": "rediss://h"}}, flags={"redis.tls_verify": "false"}).settings.redis.tls_verify
        is False
    )


@pytest.mark.parametrize(
    ("files", "sentence"),
    [({"ca.pem": "x"}, "the file ca.pem holds no certificate in PEM form"), ({}, "the file ca.pem does not exist")],
)
def test_an_authority_that_is_none_is_a_fault(faults, files: dict[str, str], sentence: str) -> None:
    """Not a failure of each scrape, without the file's name."""
    found = faults(files, blnk={"redis": {"dns": "rediss://h"}}, flags={"redis.ca_file": "ca.pem"})
    assert sentence in str(found)


def test_settings_of_tls_without_tls_are_told(loading) -> None:
    """They would be believed to work."""
    notes = loading(blnk={}, flags={"redis.tls_verify": True}).notes
    assert "blnk.json redis.dns: TLS is not on, so redis.ca_file and redis.tls_verify have no effect." in notes


def test_the_same_postgres_twice_is_a_fault(faults) -> None:
    """Two series of one name would break the whole page."""
    assert faults(blnk={}, flags={"postgres.replicas": "host=db"}) == [
        "--postgres.replicas entry 1: names db:5432, which is watched already"
    ]


def test_a_bad_dsn_is_a_fault_at_its_place(faults) -> None:
    """Blnk's or ours."""
    found = faults(blnk={"redis": {"dns": "h1:1,h2:2"}}, flags={"postgres.dsn": "nonsense"})
    assert [fault.partition(":")[0] for fault in found] == ["--postgres.dsn", "blnk.json redis.dns"]


def test_an_acl_user_is_told_where_it_is_blnks(loading) -> None:
    """Blnk's queues log in without it; our own user is our business."""
    acl = "is an ACL user"
    assert any(acl in note for note in loading(blnk={"redis": {"dns": "redis://u:p@h"}}).notes)
    assert not any(acl in note for note in loading(blnk={}, flags={"redis.dsn": "redis://u:p@h"}).notes)


def test_a_mode_that_blnks_driver_refuses_is_told(loading) -> None:
    """The other driver would take it, so would we."""
    notes = loading(blnk={"data_source": {"dns": "host=h sslmode=prefer"}}).notes
    assert "blnk.json data_source.dns: Blnk's driver knows no sslmode prefer and refuses to connect." in notes


def test_the_port_of_a_pooler_has_a_note(loading) -> None:
    """Supported, and worth to know of."""
    for port, expected in ((6432, True), (5432, False)):
        notes = loading(blnk={"data_source": {"dns": f"postgres://u@h:{port}/blnk?sslmode=disable"}}).notes
        assert any("docs/pooler.md" in note for note in notes) == expected


def test_a_certificate_that_is_elsewhere_is_told(loading, tmp_path) -> None:
    """Blnk's file system is not ours; the file is watched should it come."""
    loaded = loading(
        blnk={"data_source": {"dns": "host=h sslrootcert=/nowhere/ca.pem sslcert=here"}}, files={"here": ""}
    )
    assert "blnk.json data_source.dns: The file of sslrootcert does not exist on this machine." in loaded.notes
    assert {str(path) for path in loaded.files} >= {"/nowhere/ca.pem", str(tmp_path / "here")}


def test_a_password_without_a_target_is_told(loading) -> None:
    """Most likely a DSN was forgotten."""
    notes = loading(flags={"servers": "http://a", "redis.password": "x"}).notes
    assert "--redis.password: Nothing is configured to log in to with it." in notes


def test_nothing_to_watch_is_a_fault(faults) -> None:
    """And says what to do."""
    (fault,) = faults()
    assert fault.startswith("configuration: there is nothing to watch: name a blnk.json with --blnk-config")


def test_no_blnk_is_told(loading, tmp_path) -> None:
    """Queues cannot be missed when nobody says which there are."""
    loaded = loading(flags={"redis.dsn": "h:1"})
    assert f"blnk.json does not exist in {tmp_path} and no BLNK_* variable is set." in loaded.notes
    assert "Without blnk.json no queue is expected; those that Redis holds are watched." in loaded.notes
    assert (loaded.settings.blnk, loaded.settings.queues, loaded.settings.blnk_role) == (None, (), None)


def test_a_role_that_cannot_be_read_is_not_known(loading) -> None:
    """Where our own DSN is used, Blnk's need not be readable."""
    assert (
        loading(blnk={"data_source": {"dns": "nonsense"}}, flags={"postgres.dsn": "host=h"}).settings.blnk_role is None
    )


def test_few_queues_are_all_shown(origins) -> None:
    """Many are shown from the first to the last."""
    few = {"queue": {"number_of_queues": 2, "transaction_queue": "t"}}
    assert origins(blnk=few)["target queues"][0].startswith("t_1, t_2, new:inflight-expiry")
    assert origins(blnk={})["target queues"][0].startswith(
        "new:transaction_1 to new:transaction_20, new:inflight-expiry"
    )


def test_a_limit_below_the_expected_queues_is_a_fault(faults, loading) -> None:
    """Half of the deployment's own queues would be missing, and nobody would know which."""
    assert faults(blnk={}, flags={"limits.queues": 20}) == [
        "--limits.queues: is 20, but Blnk's configuration implies 23 queues"
    ]
    assert loading(blnk={}, flags={"limits.queues": 24})
