"""Who is connected, what they wait for, what they hold back."""

from ..metric import Metric
from ..table import Table

_A = ("address",)
STATES = (
    "starting",
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)
ROLES = ("blnk", "exporter", "other")

# Blnk names no application, so its sessions are told by the role in its connection string. Where that role is not
# known there is no row of Blnk's: a zero would be a lie, and BLNK_ROLE says so.
_ROLE = "CASE WHEN application_name = 'blnk_exporter' THEN 'exporter' WHEN usename = $1 THEN 'blnk' ELSE 'other' END"
_KNOWN = "(r.role <> 'blnk' OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1))"
_UNTOLD = "Without a known role of Blnk, its sessions count as other."
# Why Blnk's role is not known, NULL when it is. statements.py asks the same.
ROLE_GAP = """
    CASE WHEN $1::text IS NULL
         THEN 'Blnk''s role is not known: give blnk.json or BLNK_DATA_SOURCE_DNS, with a user in its connection string'
         WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
         THEN 'there is no role ' || quote_literal($1) || ' on this server, which Blnk''s connection string names' END
"""

SERVER = Table(
    name="server",
    sql={
        0: """
            SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery()::int AS in_recovery,
                   extract(epoch FROM pg_postmaster_start_time()) AS started,
                   extract(epoch FROM pg_conf_load_time()) AS loaded,
                   current_setting('max_connections')::int AS connections_max,
                   current_setting('superuser_reserved_connections')::int AS reserved,
                   (SELECT sum(numbackends) FROM pg_stat_database) AS backends,
                   pg_notification_queue_usage() AS notify_usage,
                   CASE current_setting('blnk_exporter.session_tls', true) WHEN 'on' THEN 1 WHEN 'off' THEN 0
                        ELSE (SELECT ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()) END AS tls
        """,
    },
    columns={
        "version": Metric(
            "blnk_postgres_version", "The server's version as a number: 160004 is 16.4.", _A, "server_version_num"
        ),
        "in_recovery": Metric(
            "blnk_postgres_in_recovery", "1 on a replica, 0 on a primary.", _A, "pg_is_in_recovery()"
        ),
        "started": Metric(
            "blnk_postgres_start_timestamp_seconds", "When the server started.", _A, "pg_postmaster_start_time()"
        ),
        "loaded": Metric(
            "blnk_postgres_config_load_timestamp_seconds",
            "When its configuration was last loaded.",
            _A,
            "pg_conf_load_time()",
        ),
        "connections_max": Metric(
            "blnk_postgres_connections_max", "The setting max_connections.", _A, "max_connections"
        ),
        "reserved": Metric(
            "blnk_postgres_connections_reserved",
            "Connections of connections_max that only superusers get.",
            _A,
            "superuser_reserved_connections",
        ),
        "backends": Metric(
            "blnk_postgres_backends", "Sessions in all databases, whoever asks.", _A, "pg_stat_database.numbackends"
        ),
        "notify_usage": Metric(
            "blnk_postgres_notify_queue_usage_ratio",
            "Part of the NOTIFY queue in use; when it is full, every transaction of Blnk fails.",
            _A,
            "pg_notification_queue_usage()",
        ),
        "tls": Metric(
            "blnk_postgres_exporter_session_tls",
            "Whether the exporter's own session is encrypted; behind a connection pooler, up to that.",
            _A,
            "pg_stat_ssl",
        ),
    },
)

CONNECTIONS = Table(
    name="connections",
    needs="pg_read_all_stats",
    # Every role and state, so that a zero is told as one.
    sql={
        0: f"""
            SELECT r.role, s.state, count(a.pid) AS connections
            FROM unnest(ARRAY{list(ROLES)}) AS r(role) CROSS JOIN unnest(ARRAY{list(STATES)}) AS s(state)
            LEFT JOIN (SELECT pid, state, {_ROLE} AS role FROM pg_stat_activity WHERE backend_type = 'client backend') a
              ON a.role = r.role AND a.state = s.state
            WHERE {_KNOWN} GROUP BY r.role, s.state
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("role", "state"),
    columns={
        "connections": Metric(
            "blnk_postgres_connections",
            f"Client sessions by whose they are and what they do. {_UNTOLD}",
            (*_A, "role", "state"),
            "pg_stat_activity",
        ),
    },
)

ACTIVITY = Table(
    name="activity",
    needs="pg_read_all_stats",
    sql={
        0: f"""
            SELECT r.role, coalesce(max(a.transaction_age), 0) AS transaction_age,
                   coalesce(max(a.query_age) FILTER (WHERE a.state = 'active'), 0) AS query_age,
                   coalesce(max(a.state_age) FILTER (WHERE a.state LIKE 'idle in transaction%'), 0) AS idle_age,
                   count(a.role) FILTER (WHERE a.wait_event_type = 'Lock') AS waiting,
                   coalesce(max(a.query_age) FILTER (WHERE a.wait_event_type = 'Lock'), 0) AS waiting_age,
                   count(a.role) FILTER (WHERE NOT a.ssl) AS plain
            FROM unnest(ARRAY{list(ROLES)}) AS r(role)
            LEFT JOIN (
                SELECT {_ROLE} AS role, state, wait_event_type, s.ssl,
                       extract(epoch FROM clock_timestamp() - xact_start) AS transaction_age,
                       extract(epoch FROM clock_timestamp() - query_start) AS query_age,
                       extract(epoch FROM clock_timestamp() - state_change) AS state_age
                FROM pg_stat_activity JOIN pg_stat_ssl s USING (pid)
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
            ) a USING (role)
            WHERE {_KNOWN} GROUP BY r.role
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("role",),
    columns={
        "transaction_age": Metric(
            "blnk_postgres_longest_transaction_seconds",
            f"Age of the oldest open transaction; 0 when none is. {_UNTOLD}",
            (*_A, "role"),
            "pg_stat_activity.xact_start",
        ),
        "query_age": Metric(
            "blnk_postgres_longest_query_seconds",
            f"Age of the longest running statement; 0 when none runs. {_UNTOLD}",
            (*_A, "role"),
            "pg_stat_activity.query_start",
        ),
        "idle_age": Metric(
            "blnk_postgres_longest_idle_transaction_seconds",
            f"How long a session has sat idle inside a transaction; 0 when none does. {_UNTOLD}",
            (*_A, "role"),
            "pg_stat_activity.state_change",
        ),
        "waiting": Metric(
            "blnk_postgres_lock_waits",
            f"Sessions that wait for a lock. {_UNTOLD}",
            (*_A, "role"),
            "pg_stat_activity.wait_event_type",
        ),
        "waiting_age": Metric(
            "blnk_postgres_longest_lock_wait_seconds",
            f"Age of the oldest statement that waits for a lock; 0 when none does. {_UNTOLD}",
            (*_A, "role"),
            "pg_stat_activity",
        ),
        "plain": Metric(
            "blnk_postgres_unencrypted_sessions",
            f"Sessions without TLS, local sockets included. {_UNTOLD}",
            (*_A, "role"),
            "pg_stat_ssl",
        ),
    },
)

HORIZON = Table(
    name="horizon",
    needs="pg_read_all_stats",
    # A session that has written and sits idle has no snapshot, but its own transaction holds all the same. What a
    # standby's feedback holds stands at its walsender, in both views.
    sql={
        0: """
            SELECT 'session' AS holder, max(greatest(age(backend_xid), age(backend_xmin))) AS age FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'walsender'
            UNION ALL SELECT 'standby', max(age(backend_xmin)) FROM pg_stat_replication
            UNION ALL SELECT 'slot', max(greatest(age(xmin), age(catalog_xmin))) FROM pg_replication_slots
            UNION ALL SELECT 'prepared', max(age(transaction)) FROM pg_prepared_xacts
        """,
    },
    labels=("holder",),
    columns={
        "age": Metric(
            "blnk_postgres_oldest_xmin_age_transactions",
            "How many transactions back the cleaning of dead rows is held, by what holds it; absent when nothing does.",
            (*_A, "holder"),
            "backend_xmin",
        ),
    },
)

BLNK_ROLE = Table(
    name="blnk_role",
    sql={
        0: f"""
            SELECT v.privilege, v.granted::int AS granted, g.gap
            FROM (SELECT {ROLE_GAP} AS gap) g LEFT JOIN pg_roles r ON r.rolname = $1
            LEFT JOIN LATERAL (VALUES ('superuser', r.rolsuper), ('create_role', r.rolcreaterole), ('create_database', r.rolcreatedb),
                                      ('replication', r.rolreplication), ('bypass_row_security', r.rolbypassrls)) v(privilege, granted)
              ON r.oid IS NOT NULL
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("privilege",),
    columns={
        "granted": Metric(
            "blnk_postgres_blnk_role_privilege",
            "Whether Blnk's role has a right that a ledger does not need.",
            (*_A, "privilege"),
            "pg_roles",
        ),
    },
)

TABLES = (SERVER, CONNECTIONS, ACTIVITY, HORIZON, BLNK_ROLE)
