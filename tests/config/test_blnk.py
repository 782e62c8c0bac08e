"""Blnk's configuration as Blnk reads it; expectations were taken from Blnk's own config package, run."""

import pytest

from blnk_exporter.config.blnk_fields import BY_PATH, FIELDS


def setting(loaded, name):
    return getattr(loaded.settings.blnk, name)


def test_the_environment_wins_over_the_file(loading) -> None:
    """As in Blnk."""
    loaded = loading(blnk={"server": {"port": "6001"}}, environ={"BLNK_SERVER_PORT": " 7001 "})
    assert setting(loaded, "server_port") == "7001"


def test_an_empty_variable_wins_too(loading) -> None:
    """Blnk asks whether it is set; the default then fills the hole."""
    loaded = loading(blnk={"server": {"port": "6001"}}, environ={"BLNK_SERVER_PORT": ""})
    assert setting(loaded, "server_port") == "5001"


def test_the_longer_name_of_a_variable_wins(origins) -> None:
    """Blnk looks for the prefix and the sections before the name first."""
    environ = {"BLNK_DATASOURCE_BLNK_DATABASE_MAX_OPEN_CONNS": "7", "BLNK_DATABASE_MAX_OPEN_CONNS": "8"}
    row = origins(blnk={}, environ=environ)["Blnk data_source.max_open_conns"]
    assert row == ("7", "environment BLNK_DATASOURCE_BLNK_DATABASE_MAX_OPEN_CONNS")


def test_variables_alone_are_enough(loading) -> None:
    """Blnk starts without blnk.json."""
    loaded = loading(environ={"BLNK_DATA_SOURCE_DNS": "host=db", "BLNK_REDIS_DNS": "cache:6379"})
    assert loaded.settings.postgres[0].sslmode == "require"
    assert loaded.settings.redis.address == "cache:6379"


@pytest.mark.parametrize(
    ("version", "pools", "retries", "lock", "batch", "workers"),
    [
        ("0.13.2", (25, 10), 0, 1800, 100_000, 1),
        ("0.14.0", (25, 10), 5, 1800, 1000, 1),
        ("0.14.5", (25, 10), 5, 1800, 1000, 1),
        ("0.15.0", (50, 25), 5, 1800, 1000, 4),
        ("0.15.2", (50, 25), 5, 300, 1000, 4),
    ],
)
def test_defaults_follow_the_release(loading, *, version, pools, retries, lock, batch, workers) -> None:
    """An audit of pools and retries is wrong with another release's defaults."""
    blnk = loading(blnk={}, flags={"blnk.version": version}).settings.blnk
    assert (blnk.database_max_open_conns, blnk.database_max_idle_conns) == pools
    assert (blnk.max_retry_attempts, blnk.transaction_lock_duration_seconds) == (retries, lock)
    assert (blnk.transaction_batch_size, blnk.transaction_worker_concurrency) == (batch, workers)


def test_the_assumed_release_is_told(loading) -> None:
    """Nobody writes the release into blnk.json."""
    note = "The defaults of Blnk 0.15.2 are assumed; for another release set blnk.version."
    assert note in loading(blnk={}).notes
    assert note not in loading(blnk={}, flags={"blnk.version": "v0.15.2"}).notes


@pytest.mark.parametrize(("version", "like"), [("0.12.2", "0.13.2"), ("0.16.0", "0.15.2")])
def test_an_unknown_release_is_told(loading, version, like) -> None:
    """It is read like the nearest one that is known."""
    assert (
        f"Blnk {version} is not known here; it is read like {like}."
        in loading(blnk={}, flags={"blnk.version": version}).notes
    )


def test_queues_of_the_current_release(loading) -> None:
    """Twenty shards, and a queue for each other kind of work."""
    queues = loading(blnk={}, flags={"blnk.version": "0.15.2"}).settings.queues
    assert queues[0] == "new:transaction_1"
    assert queues[19:] == (
        "new:transaction_20",
        "new:inflight-expiry",
        "new:inflight-commit",
        "new:webhook",
        "new:index",
    )


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.13.2", ("t_1", "new:inflight-expiry", "new:webhook", "new:index")),
        ("0.14.0", ("t_1", "new:inflight-expiry", "new:webhook", "new:index", "hot_transactions")),
        (
            "0.14.4",
            ("t_1", "new:inflight-expiry", "new:inflight-commit", "new:webhook", "new:index", "hot_transactions"),
        ),
    ],
)
def test_queues_follow_release_and_settings(loading, version, expected) -> None:
    """A queue that the release does not have must not be missed."""
    queue = {"transaction_queue": "t", "number_of_queues": 1, "enable_hot_lane": True}
    assert loading(blnk={"queue": queue}, flags={"blnk.version": version}).settings.queues == expected


COMMIT_NOTE = "new:inflight-commit is expected once it is used, since older releases do not have it."


@pytest.mark.parametrize("hole", [{}, {"inflight_commit_queue": ""}])
def test_a_queue_of_a_guessed_release_is_not_expected(loading, hole) -> None:
    """A healthy 0.13.2 whose operator did not name it would be told of a queue that nobody consumes; the rest stays."""
    loaded = loading(blnk={"queue": hole})
    named = loading(blnk={"queue": hole}, flags={"blnk.version": "0.15.2"})
    assert set(named.settings.queues) - set(loaded.settings.queues) == {"new:inflight-commit"}
    assert loaded.settings.queues == loading(blnk={}, flags={"blnk.version": "0.13.2"}).settings.queues
    assert (COMMIT_NOTE in loaded.notes, COMMIT_NOTE in named.notes) == (True, False)


@pytest.mark.parametrize(
    "given",
    [
        {"blnk": {"queue": {"inflight_commit_queue": "c"}}},
        {"blnk": {}, "environ": {"BLNK_QUEUE_INFLIGHT_COMMIT": "c"}},
    ],
)
def test_a_queue_that_is_named_is_expected_of_a_guessed_release(loading, given) -> None:
    """Whoever names it has a release that knows it."""
    loaded = loading(**given)
    assert "c" in loaded.settings.queues
    assert COMMIT_NOTE not in loaded.notes


def test_a_commit_queue_that_nobody_consumes_is_told(loading) -> None:
    """Releases 0.14.1 to 0.14.3 put tasks there and never take them."""
    loaded = loading(blnk={"queue": {"inflight_commit_queue": "c"}}, flags={"blnk.version": "0.14.2"})
    assert "c" in loaded.settings.queues
    assert "No worker of Blnk 0.14.2 consumes c." in loaded.notes


def test_a_key_of_a_later_release_is_ignored(loading) -> None:
    """Its kind does not matter to a release that does not know it."""
    loaded = loading(
        blnk={"server": {"metrics_bearer_token": 5}},
        environ={"BLNK_QUEUE_ENABLE_HOT_LANE": "perhaps"},
        flags={"blnk.version": "0.13.2"},
    )
    assert setting(loaded, "metrics_bearer_token") is None
    assert "blnk.json server.metrics_bearer_token: Blnk 0.13.2 ignores it, it came with 0.14.0." in loaded.notes
    assert "BLNK_QUEUE_ENABLE_HOT_LANE: Blnk 0.13.2 ignores it, it came with 0.14.0." in loaded.notes


@pytest.mark.parametrize(
    ("version", "variable", "attribute", "seconds"),
    [
        ("0.13.2", {"BLNK_TRANSACTION_LOCK_DURATION": "1m"}, "transaction_lock_duration_seconds", 4659767778.8713455),
        ("0.13.2", {"BLNK_TRANSACTION_LOCK_DURATION": "30m"}, "transaction_lock_duration_seconds", -7780919223.536058),
        ("0.15.2", {"BLNK_TRANSACTION_LOCK_DURATION": "30m"}, "transaction_lock_duration_seconds", 1800),
        ("0.15.2", {"BLNK_TRANSACTION_LOCK_DURATION": "500ms"}, "transaction_lock_duration_seconds", 5e8),
        ("0.15.2", {"BLNK_QUEUE_HOT_PAIR_TTL": "1s"}, "hot_pair_ttl_seconds", 1e9),
    ],
)
def test_durations_that_blnk_multiplies(loading, version, variable, attribute, seconds) -> None:
    """Locks of a century, or of less than nothing, come from here."""
    loaded = loading(blnk={}, environ=variable, flags={"blnk.version": version})
    name = next(iter(variable))
    assert setting(loaded, attribute) == pytest.approx(seconds)
    odd = seconds < 0 or seconds > 86_400
    assert odd == any(note.startswith(f"{name}: becomes") for note in loaded.notes)


def test_a_duration_in_seconds_is_nanoseconds(loading) -> None:
    """Blnk's own documentation says 1800, and every query gets a new connection."""
    loaded = loading(blnk={"data_source": {"dns": "host=h", "conn_max_lifetime": 1800}})
    assert (
        "blnk.json data_source.conn_max_lifetime: is 1800 nanoseconds; in blnk.json 30 seconds are 30000000000."
        in loaded.notes
    )
    assert setting(loaded, "database_conn_max_lifetime_seconds") == 1.8e-6


def test_a_long_duration_is_not_odd(loading) -> None:
    """Only what Blnk multiplies is told."""
    environ = {"BLNK_DATABASE_CONN_MAX_LIFETIME": "48h"}
    assert not any("becomes" in note for note in loading(blnk={}, environ=environ).notes)


def test_coalescing_cannot_be_switched_off(loading) -> None:
    """The default overwrites false."""
    loaded = loading(blnk={"transaction": {"enable_coalescing": False}})
    assert setting(loaded, "transaction_coalescing_enabled")
    assert "blnk.json transaction.enable_coalescing: Blnk does not let coalescing be switched off." in loaded.notes


def test_dead_tls_is_told(loading) -> None:
    """Since 0.13.0 nothing calls it."""
    notes = loading(blnk={"server": {"ssl": True}}).notes
    assert "server.ssl has had no effect since Blnk 0.13.0: the server speaks plain HTTP." in notes


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, (False, 5_000_000, 10_000_000)),
        ({"requests_per_second": 2.5}, (True, 2.5, 4)),
        ({"burst": 7}, (True, 3.5, 7)),
        ({"requests_per_second": 1e300}, (True, 1e300, 0)),
        ({"requests_per_second": None, "burst": None}, (False, 5_000_000, 10_000_000)),
    ],
)
def test_one_rate_limit_gives_the_other(loading, limits, expected) -> None:
    """Unset means practically none."""
    blnk = loading(blnk={"rate_limit": limits}).settings.blnk
    assert (blnk.rate_limit_configured, blnk.rate_limit_requests_per_second, blnk.rate_limit_burst) == expected


def test_negative_limits_are_holes_where_blnk_says_so(loading) -> None:
    """Not everywhere: a negative pool stays negative."""
    loaded = loading(blnk={"server": {"max_upload_size_mb": -1}, "redis": {"dns": "h:1", "pool_size": -1}})
    assert setting(loaded, "max_upload_megabytes") == 256
    assert setting(loaded, "redis_pool_size") == -1


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("BLNK_SERVER_SECURE", "yes", "must be true or false"),
        ("BLNK_SERVER_SECURE", "", "must be true or false; Blnk itself does not start with it empty"),
        ("BLNK_QUEUE_NUMBER_OF_QUEUES", "1.5", "must be a whole number"),
        ("BLNK_QUEUE_NUMBER_OF_QUEUES", "-1", "must be from 1 to 10000"),
        ("BLNK_QUEUE_HOT_PAIR_TTL", "300", "must be a duration with its unit, such as 30s or 5m"),
        ("BLNK_RATE_LIMIT_RPS", "many", "must be a number"),
        (
            "BLNK_WEBHOOK_HEADERS",
            "X:http://h",
            "must be name:value pairs with commas between them, and no colon in a value",
        ),
        ("BLNK_QUEUE_INDEX", "\udcff", "is not UTF-8 text"),
        ("BLNK_SERVER_PORT", "http", "must be a port from 1 to 65535"),
        (
            "BLNK_SERVER_PORT",
            "tcp://10.0.0.1:5001",
            "must be a port from 1 to 65535; Kubernetes sets it for a Service of that name, which enableServiceLinks: false stops",
        ),
    ],
)
def test_a_variable_that_stops_blnk_is_a_fault(faults, name, text, what) -> None:
    """Go's rules, in words."""
    assert faults(blnk={}, environ={name: text}) == [f"{name}: {what}"]


def test_headers_are_accepted(loading) -> None:
    """In both forms; their values are nobody's business."""
    assert loading(
        blnk={"notification": {"webhook": {"headers": {"X": "canary"}}}}, environ={"BLNK_WEBHOOK_HEADERS": ""}
    )
    assert loading(blnk={}, environ={"BLNK_WEBHOOK_HEADERS": "a:b,c:d"})


def test_an_unknown_variable_is_told(loading) -> None:
    """Blnk ignores a slip in silence; what Kubernetes sets by itself is none."""
    notes = loading(
        blnk={},
        environ={
            "BLNK_REDIS_DSN": "x",
            "BLNK_CLOUD_DSN": "x",
            "BLNK_SERVER_SERVICE_HOST": "x",
            "BLNK_PORT_5001_TCP_ADDR": "x",
        },
    ).notes
    told = [note for note in notes if "this variable" in note]
    assert told == [
        "BLNK_CLOUD_DSN: Blnk does not know this variable and ignores it.",
        "BLNK_REDIS_DSN: Blnk does not know this variable and ignores it; the nearest that it knows is BLNK_REDIS_DNS.",
    ]


def test_what_blnk_needs_and_nobody_gives_is_a_fault(faults) -> None:
    """As Blnk itself says, with our way out."""
    found = faults({"blnk.json": "{}"})
    assert [fault.partition(",")[0] for fault in found] == [
        "Blnk data_source.dns: is missing",
        "Blnk redis.dns: is missing",
    ]


def test_our_own_dsn_spares_blnks(loading) -> None:
    """A blnk.json with its secrets taken out is still worth reading."""
    loaded = loading(
        {"blnk.json": "{}"}, environ={"BLNK_EXPORTER_POSTGRES_DSN": "host=a", "BLNK_EXPORTER_REDIS_DSN": "b:1"}
    )
    assert (loaded.settings.postgres[0].address, loaded.settings.redis.address) == ("a:5432", "b:1")


def test_a_broken_file_is_not_also_empty(faults) -> None:
    """One fault, one cause."""
    assert len(faults({"blnk.json": "{"})) == 1
    assert faults(blnk={"redis": 5}) == ["blnk.json redis: must be a JSON object"]


def test_a_file_that_cannot_be_read_is_one_fault(faults, tmp_path) -> None:
    """What a volume looks like when its file was not there at the start of the container."""
    (tmp_path / "blnk.json").mkdir()
    assert faults() == ["blnk.json: is no regular file"]


def test_blnk_can_be_left_out(loading) -> None:
    """For a machine where somebody else's blnk.json lies about."""
    loaded = loading(blnk={}, flags={"blnk.enabled": False, "servers": "http://a"})
    assert loaded.settings.blnk is None
    assert loaded.settings.redis is None


def test_a_named_file_must_exist(faults, tmp_path) -> None:
    """The default one need not."""
    assert faults(flags={"blnk.config": "other.json"}) == ["--blnk-config: other.json does not exist"]


def test_a_file_of_ours_for_a_secret_of_blnks(loading, tmp_path) -> None:
    """Containers mount secrets; Blnk itself cannot read them."""
    (tmp_path / "dns").write_text("host=db password=pw\n")
    loaded = loading(
        environ={"BLNK_DATA_SOURCE_DNS_FILE": "dns", "BLNK_REDIS_DNS": "h:1", "BLNK_METRICS_BEARER_TOKEN_FILE": ""}
    )
    assert loaded.settings.postgres[0].password.get_secret_value() == "pw"
    assert tmp_path / "dns" in loaded.files
    row = {value.path: value.origin for value in loaded.values}["Blnk data_source.dns"]
    assert row == "file dns (BLNK_DATA_SOURCE_DNS_FILE)"


def test_a_variable_and_its_file_contradict(faults) -> None:
    """Nobody knows which of them would hold."""
    environ = {"BLNK_SERVER_SECRET_KEY": "a", "BLNK_SERVER_SECRET_KEY_FILE": "b"}
    assert faults(blnk={}, environ=environ) == [
        "BLNK_SERVER_SECRET_KEY_FILE: is given together with BLNK_SERVER_SECRET_KEY; give one of them"
    ]


def test_a_secret_file_that_is_missing_is_one_fault(faults) -> None:
    """Not also a missing DSN."""
    environ = {"BLNK_DATA_SOURCE_DNS_FILE": "nowhere", "BLNK_REDIS_DNS": "h:1"}
    assert faults(environ=environ) == ["BLNK_DATA_SOURCE_DNS_FILE: nowhere does not exist"]


def test_the_table_of_keys_is_sound() -> None:
    """No key twice, and each default of the kind that it says."""
    assert len(BY_PATH) == len(FIELDS)
    for field in FIELDS:
        for _, value in field.defaults:
            assert type(value) is type(field.zero), field.path
