"""The settings that the production checklist judges."""

from ..metric import Metric
from ..table import Table

_L = ("address", "setting")

BYTES = (
    *("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size", "wal_keep_size"),
    "max_slot_wal_keep_size",
)
# Not the timeouts that our own session sets: of those it would only see its own.
SECONDS = (
    *("log_min_duration_statement", "checkpoint_timeout", "archive_timeout", "deadlock_timeout"),
    "log_autovacuum_min_duration",
)
NUMBERS = (
    *(
        "random_page_cost",
        "effective_io_concurrency",
        "max_worker_processes",
        "max_wal_senders",
        "max_replication_slots",
    ),
    *("autovacuum_freeze_max_age", "autovacuum_vacuum_scale_factor", "checkpoint_completion_target"),
)
SWITCHES = (
    *("ssl", "autovacuum", "track_counts", "track_io_timing", "fsync", "full_page_writes", "data_checksums"),
    *("log_checkpoints", "log_lock_waits", "log_connections", "hot_standby"),
)
# What each of these is set to when it is switched off or without a limit: then there is no number to tell.
OFF = {
    "log_min_duration_statement": -1,
    "log_autovacuum_min_duration": -1,
    "max_slot_wal_keep_size": -1,
    "archive_timeout": 0,
}

# Set for our role, our database or our session: what the server itself says, and so what Blnk gets, is not seen.
# "override" is not among them: the server's own sources of that name hold for all, and so does ALTER ROLE ALL ("global").
_OURS = "source IN ('database', 'user', 'database user', 'client', 'interactive', 'session')"
_HIDDEN = "'hidden by what is set for our own role, database or session: '"

_KIND = "CASE {}END".format(
    "".join(
        f"WHEN name IN ({', '.join(map(repr, names))}) THEN '{kind}' "
        for kind, names in (("bytes", BYTES), ("seconds", SECONDS), ("number", NUMBERS), ("switch", SWITCHES))
    )
)
_OFF = f"CASE name {' '.join(f'WHEN {name!r} THEN {value}' for name, value in OFF.items())} END"
_SCALED = """
    CASE WHEN kind = 'switch' OR setting::numeric = off THEN NULL
         ELSE setting::numeric * CASE unit WHEN '8kB' THEN 8192 WHEN 'kB' THEN 1024 WHEN 'MB' THEN 1048576 WHEN 'B' THEN 1
                                           WHEN 'ms' THEN 0.001 WHEN 'min' THEN 60 ELSE 1 END END
"""
# log_connections is a list of stages since version 18, which also takes the old words: validate_log_connections_options
# in src/backend/tcop/backend_startup.c.
_ON = """
    CASE WHEN name = 'log_connections' THEN lower(trim(setting)) NOT IN ('', 'off', 'false', 'no', '0')
         WHEN kind = 'switch' THEN setting = 'on' ELSE setting::numeric <> off END
"""


def _column(kind: str) -> str:
    return f"CASE WHEN kind = '{kind}' THEN value END AS {kind}"


SETTINGS = Table(
    name="settings",
    sql={
        0: f"""
            SELECT name AS setting, {", ".join(map(_column, ("bytes", "seconds", "number")))}, switch::int AS switch,
                   {_HIDDEN} || string_agg(name, ', ') FILTER (WHERE ours) OVER () AS gap
            FROM (SELECT name, kind, ours, {_SCALED} AS value, {_ON} AS switch
                  FROM (SELECT name, unit, {_OURS} AS ours, CASE WHEN NOT {_OURS} THEN setting END AS setting,
                               {_KIND} AS kind, {_OFF} AS off FROM pg_settings) a WHERE kind IS NOT NULL) b
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("setting",),
    columns={
        "bytes": Metric(
            "blnk_postgres_setting_bytes", "A setting that is a size; absent when without limit.", _L, "pg_settings"
        ),
        "seconds": Metric(
            "blnk_postgres_setting_seconds", "A setting that is a time; absent when switched off.", _L, "pg_settings"
        ),
        "number": Metric("blnk_postgres_setting_value", "A setting that is a plain number.", _L, "pg_settings"),
        "switch": Metric(
            "blnk_postgres_setting_on",
            "A setting that is on or off; of a size or time that can be switched off or unlimited, 0 when it is.",
            _L,
            "pg_settings",
        ),
    },
)

CHOICES = Table(
    name="choices",
    sql={
        0: f"""
            SELECT current_setting('wal_level') AS wal_level, current_setting('archive_mode') AS archive_mode,
                   max(setting) FILTER (WHERE name = 'synchronous_commit' AND NOT {_OURS}) AS synchronous_commit,
                   max(setting) FILTER (WHERE name = 'password_encryption' AND NOT {_OURS}) AS password_encryption,
                   (current_setting('archive_command') NOT IN ('', '(disabled)') OR current_setting('archive_library') <> '')::int AS archiving,
                   (SELECT bool_or(trim(h) IN ('*', '0.0.0.0', '::')) FROM unnest(string_to_array(current_setting('listen_addresses'), ',')) h)::int
                       AS listens_everywhere,
                   {_HIDDEN} || string_agg(name, ', ') FILTER (WHERE name IN ('synchronous_commit', 'password_encryption') AND {_OURS})
                       AS gap
            FROM pg_settings
        """,  # noqa: S608 - built of constants of this file
    },
    columns={
        "archiving": Metric(
            "blnk_postgres_archive_configured",
            "Whether a command or library archives WAL.",
            ("address",),
            "archive_command, archive_library",
        ),
        "listens_everywhere": Metric(
            "blnk_postgres_listens_everywhere",
            "Whether the server listens on all of its host's addresses.",
            ("address",),
            "listen_addresses",
        ),
    },
    states={
        "wal_level": (
            Metric("blnk_postgres_wal_level", "1 for the value of wal_level.", ("address", "level"), "wal_level"),
            ("minimal", "replica", "logical"),
        ),
        "synchronous_commit": (
            Metric(
                "blnk_postgres_synchronous_commit",
                "1 for the value of synchronous_commit.",
                ("address", "mode"),
                "synchronous_commit",
            ),
            ("off", "local", "remote_write", "on", "remote_apply"),
        ),
        "password_encryption": (
            Metric(
                "blnk_postgres_password_encryption",
                "1 for how passwords are stored.",
                ("address", "method"),
                "password_encryption",
            ),
            ("md5", "scram-sha-256"),
        ),
        "archive_mode": (
            Metric(
                "blnk_postgres_archive_mode", "1 for the value of archive_mode.", ("address", "mode"), "archive_mode"
            ),
            ("off", "on", "always"),
        ),
    },
)

PENDING_RESTART = Table(
    name="pending_restart",
    # Some settings are not shown to everybody: shared_preload_libraries, which waits for a restart more often than most.
    needs="pg_read_all_settings",
    sql={0: "SELECT count(*) FILTER (WHERE pending_restart) AS pending_restart FROM pg_settings"},
    columns={
        "pending_restart": Metric(
            "blnk_postgres_settings_pending_restart",
            "Settings changed in the file that wait for a restart.",
            ("address",),
            "pg_settings",
        ),
    },
)

TABLES = (SETTINGS, CHOICES, PENDING_RESTART)
