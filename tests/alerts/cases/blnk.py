"""What Blnk tells of itself."""

from ..story import LIMITS, Ago, Case, Rate

JOB = 'job="blnk-server",instance="blnk:5001"'
GOOD = f'http_server_duration_milliseconds_count{{{JOB},http_status_code="201",http_method="POST"}}'
BAD = f'http_server_duration_milliseconds_count{{{JOB},http_status_code="503",http_method="POST"}}'
REFUSED = f"blnk_queue_backpressure_rejected_total{{{JOB}}}"
START = f"process_start_time_seconds{{{JOB}}}"
OURS = 'process_start_time_seconds{job="blnk-exporter",instance="blnk-exporter:10501"}'


def _errors(name: str, severity: str, *, per_second: float, step: int = 300, seconds: int = 0, calm: int = 0) -> Case:
    """Just under and just over a share, of so many requests per second."""
    share = getattr(LIMITS[name], severity) or 0
    return Case(
        quiet={BAD: Rate(share * per_second * 0.98)},
        loud={BAD: Rate(share * per_second * 1.05)},
        always={GOOD: Rate(per_second)},
        step_seconds=step,
        seconds=seconds,
        calm_seconds=calm,
    )


CASES = {
    "BlnkApiErrors": (
        # Ten in a thousand: the slower of the two pairs, after six hours.
        _errors("blnk.errors", "critical", per_second=10, seconds=8 * 3600, calm=8 * 3600),
        # All of three requests in five minutes.
        Case(
            quiet={BAD: Rate(3 / 300)},
            loud={BAD: Rate(1)},
            always={GOOD: Rate(0)},
            step_seconds=120,
        ),
    ),
    "BlnkApiErrorsLasting": _errors(
        "blnk.errors_lasting", "warning", per_second=10, step=300, seconds=4 * 86400, calm=4 * 86400
    ),
    "BlnkBackpressure": (
        Case(quiet={REFUSED: Rate(0)}, loud={REFUSED: Rate(1)}),
        # Born at 1 with the first refusal; fires for as long as it is young.
        Case(quiet={REFUSED: None}, loud={REFUSED: 1}, always={f"up{{{JOB}}}": 1}, seconds=240),
    ),
    "BlnkProcessRestarting": Case(quiet={START: 5, OURS: Ago(1)}, loud={START: Ago(1)}),
    "BlnkNativeMetricsMissing": Case(
        quiet={f"up{{{JOB}}}": 1, 'up{job="blnk-exporter",instance="e"}': 0}, loud={f"up{{{JOB}}}": 0}
    ),
}
