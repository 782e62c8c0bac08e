"""What the exporter reads, and how it is itself: rows of the dashboard of the host."""

from ..board import UP, Panel, Query, States

# The builder knows our own metrics only.
_OURS = 'job=~"$job",instance="$instance"'
_RUNS = "max by (instance, version, python)"
# Neither wakes anybody.
_OK: States = {0: ("FAILING", "orange"), 1: ("OK", "green")}
READS = (
    Panel(
        title="Collectors",
        about="Whether each read every one of its sources. What one that fails would tell is unknown, and its alerts are"
        " blind. No line: it is switched off.",
        queries=(Query("min by (collector) (blnk_exporter_collector_success)", "{{collector}}"),),
        kind="state-timeline",
        states=_OK,
        alerts=("BlnkExporterCollectorFailing",),
        height=9,
    ),
    Panel(
        title="Readings take",
        about="How long each collector's last reading took; the ten slowest. Slow ones wait for their source.",
        queries=(Query("topk(10, max by (collector) (blnk_exporter_collector_duration_seconds))", "{{collector}}"),),
        unit="s",
        height=9,
    ),
    Panel(
        title="Age of what is told",
        about="Time since each reading; dear ones are read every minute or few. The books, read still less often, are not"
        " here.",
        queries=(
            Query(
                'topk(10, max by (collector) (blnk_exporter_collector_reading_age_seconds{collector!="books"}))',
                "{{collector}}",
            ),
        ),
        unit="s",
        limit="exporter.reading_age",
        alerts=("BlnkExporterDataStale",),
        height=9,
    ),
    Panel(
        title="Missing facts",
        about="What a source that did answer would not give, and why: refused is a right that is missing.",
        queries=(Query("max by (instance, collector, fact, reason) (blnk_exporter_fact_missing == 1)"),),
        kind="table",
        labels=("instance", "collector", "fact", "reason"),
        nothing="none is told of",
        alerts=("BlnkExporterFactMissing",),
    ),
    Panel(
        title="Not read, and why",
        about="Collectors that failed, with the reason of the last time, and those that are switched off or have no target.",
        queries=(
            Query(
                "max by (instance, collector, reason) (blnk_exporter_collector_failure == 1"
                ' or label_replace(blnk_exporter_collector_enabled == 0, "reason", "switched off", "", ""))'
            ),
        ),
        kind="table",
        labels=("instance", "collector", "reason"),
        nothing="none is told of",
    ),
    Panel(
        title="Series left out",
        about="By metric: beyond the limit limits.series_per_metric, or there twice. A line at 0 has no metric.",
        queries=(
            Query(
                "topk(10, blnk_exporter_series_dropped) or on (job, instance) 0 * blnk_exporter_series_limit",
                "{{instance}} {{metric}}",
            ),
        ),
        any_is="blue",
        alerts=("BlnkExporterSeriesDropped",),
    ),
)
ITSELF = (
    Panel(
        title="Is it there?",
        about="Whether Prometheus can read it. Down: every other alert about this Blnk is blind. No line: Prometheus knows"
        " of no exporter.",
        queries=(Query("up", "{{instance}}"),),
        kind="state-timeline",
        states=UP,
        nothing="NOT SCRAPED",
        alerts=("BlnkExporterDown", "BlnkExporterAbsent"),
        height=5,
    ),
    Panel(
        title="Configuration",
        about="Whether it was valid when it was last read. Failing: the one before is in force, and a restart would not"
        " start.",
        queries=(Query("blnk_exporter_config_last_reload_successful", "{{instance}}"),),
        kind="state-timeline",
        states=_OK,
        alerts=("BlnkExporterReloadFailed",),
        height=5,
    ),
    Panel(
        title="What runs",
        about="Which exporter, since when, and how long ago it read the configuration that is in force.",
        queries=(
            Query(
                f"{_RUNS} (blnk_exporter_build_info * on (job, instance) group_left ()"
                f" (time() - process_start_time_seconds{{{_OURS}}}))",
                "up for",
                unit="s",
            ),
            Query(
                f"{_RUNS} (blnk_exporter_build_info * on (job, instance) group_left ()"
                " (time() - blnk_exporter_config_last_reload_success_timestamp_seconds))",
                "configured",
                unit="s",
            ),
        ),
        kind="table",
        labels=("instance", "version", "python"),
        height=5,
    ),
    Panel(
        title="A scrape takes",
        about="As Prometheus sees it; when it takes longer than scrape_timeout, there is nothing at all.",
        queries=(Query(f"scrape_duration_seconds{{{_OURS}}}", "{{instance}}"),),
        unit="s",
        width=6,
    ),
    Panel(
        title="CPU of the exporter",
        about="100 % is one CPU; a reading every few seconds takes a small part of it.",
        queries=(Query(f"rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval])", "{{instance}}"),),
        unit="percentunit",
        width=6,
    ),
    Panel(
        title="Its memory",
        about="Resident. It should be level; one that grows for days is a leak.",
        queries=(Query(f"process_resident_memory_bytes{{{_OURS}}}", "{{instance}}"),),
        unit="bytes",
        width=6,
    ),
    Panel(
        title="Its open files",
        about="Sockets included. They should be level; what grows for days is a leak.",
        queries=(Query(f"process_open_fds{{{_OURS}}}", "{{instance}}"),),
        width=6,
    ),
)
