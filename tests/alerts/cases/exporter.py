"""The exporter itself, and the way from Prometheus to people."""

from ..story import LIMITS, Case

AGE = LIMITS["exporter.reading_age"].warning or 0

CASES = {
    "BlnkExporterDown": Case(quiet={"up": 1}, loud={"up": 0}),
    "BlnkExporterAbsent": (
        Case(quiet={"up": 1}, loud={"up": None}, seconds=1200, calm_seconds=3600),
        # One of two deployments, and one whose pods come and go.
        Case(
            quiet={'up{cluster="a"}': 1},
            loud={'up{cluster="a"}': None},
            always={'up{cluster="b"}': 1},
            seconds=1200,
            calm_seconds=3600,
        ),
        Case(
            quiet={'up{pod="a"}': None, 'up{pod="b"}': 1},
            loud={'up{pod="a"}': None, 'up{pod="b"}': None},
            seconds=1200,
            calm_seconds=3600,
        ),
        # There never was any.
        Case(quiet={"up": 1}, loud={"up": None}, seconds=2 * 86400, calm_seconds=3600, step_seconds=60),
    ),
    "BlnkExporterCollectorFailing": Case(
        quiet={'blnk_exporter_collector_success{collector="redis"}': 1},
        loud={'blnk_exporter_collector_success{collector="redis"}': 0},
    ),
    "BlnkExporterFactMissing": Case(
        quiet={'blnk_exporter_fact_missing{collector="redis",fact="slowlog",reason="refused"}': None},
        loud={'blnk_exporter_fact_missing{collector="redis",fact="slowlog",reason="refused"}': 1},
    ),
    "BlnkExporterDataStale": Case(
        quiet={
            'blnk_exporter_collector_reading_age_seconds{collector="tables"}': AGE,
            'blnk_exporter_collector_reading_age_seconds{collector="books"}': 100 * AGE,
        },
        loud={'blnk_exporter_collector_reading_age_seconds{collector="tables"}': AGE + 1},
    ),
    "BlnkExporterReloadFailed": Case(
        quiet={"blnk_exporter_config_last_reload_successful": 1},
        loud={"blnk_exporter_config_last_reload_successful": 0},
    ),
    "BlnkExporterSeriesDropped": Case(
        quiet={'blnk_exporter_series_dropped{metric="m"}': None}, loud={'blnk_exporter_series_dropped{metric="m"}': 1}
    ),
}
