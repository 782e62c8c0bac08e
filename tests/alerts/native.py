"""What Prometheus itself and Blnk's own endpoint tell: its labels, or Blnk's release that first has it."""

NATIVE = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate", "severity"},
    "process_start_time_seconds": {"job", "instance"},
    "http_server_duration_milliseconds_count": {"0.14.0"},
    "blnk_queue_backpressure_rejected_total": {"0.15.2"},
}
