"""Blnk's own metrics, since 0.14 and where Prometheus scrapes them: a row of the overview."""

from ..board import UP, Panel, Query

_RATE = "[$__rate_interval]"
_REQUESTS = "http_server_duration_milliseconds_count"


def _failing(window: str) -> str:
    # Blnk has no series for a status that it never gave.
    told = f"job:blnk_http_requests:rate{window}"
    return f"max((job:blnk_http_errors:rate{window} or 0 * {told}) / {told})"


NATIVE = (
    Panel(
        title="Requests",
        about="Of Blnk's API by class of status.",
        queries=(
            Query(
                f'sum by (class) (label_replace(rate({_REQUESTS}{_RATE}), "class", "${{1}}xx", "http_status_code", "(.).."))',
                "{{class}}",
            ),
        ),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        title="Share of requests that fail",
        about="Status 5xx, of those of an hour. Six hours at less than half of it fire, too.",
        queries=(Query(_failing("1h"), "1 h"),),
        unit="percentunit",
        limit="blnk.errors_fast",
        alerts=("BlnkApiErrors",),
    ),
    Panel(
        title="Errors that last",
        about="The same share of those of a day. Three days at a third of it fire, too.",
        queries=(Query(_failing("1d"), "1 day"),),
        unit="percentunit",
        limit="blnk.errors_slow",
        alerts=("BlnkApiErrorsLasting",),
    ),
    Panel(
        title="Refused for backpressure",
        about="Requests per second that Blnk answered with 503 because Redis is short of memory.",
        queries=(Query(f"sum(rate(blnk_queue_backpressure_rejected_total{_RATE}))", "refused"),),
        unit="reqps",
        nothing="none yet, or before 0.15.2",
        alerts=("BlnkBackpressure",),
    ),
    Panel(
        title="Starts of Blnk's processes",
        about="In a quarter of an hour.",
        queries=(Query('changes(process_start_time_seconds{job=~"$blnk_job"}[15m])', "{{instance}}"),),
        limit="blnk.restarts",
        alerts=("BlnkProcessRestarting",),
    ),
    Panel(
        title="Blnk's own targets",
        about="Whether Prometheus can scrape Blnk itself.",
        queries=(Query('up{job=~"$blnk_job"}', "{{instance}}"),),
        kind="state-timeline",
        # Nobody is called: what the exporter reads itself is there without them.
        states={**UP, 0: ("DOWN", "blue")},
        alerts=("BlnkNativeMetricsMissing",),
    ),
)
