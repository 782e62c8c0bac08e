"""Host and exporter: is there room on the hosts, and does the exporter see what it should tell."""

from ..board import Board, Panel, Query, Row, stat
from . import needs
from .exporter import ITSELF, READS

_RATE = "[$__rate_interval]"
_ALL = f"on (job, instance) group_left () sum by (job, instance) (rate(blnk_host_cpu_seconds_total{_RATE}))"
# What will be free at the pace of six hours, against all that ordinary users can have.
_IN_A_DAY = (
    "1 - predict_linear(host:blnk_filesystem_available:bytes[6h], 24 * 3600)"
    " / (host:blnk_filesystem_available:bytes / (1 - host:blnk_filesystem_used:ratio))"
)
# 2 where it could be written within the last day.
_READ_ONLY = "2 * host:blnk_filesystem_read_only:max - min_over_time(host:blnk_filesystem_read_only:max[1d])"
_SUMMARY = (
    needs.exporter(),
    stat(
        "Fullest disk",
        "In use, as df counts. PostgreSQL stops when its disk is full.",
        "max(host:blnk_filesystem_used:ratio)",
        unit="percentunit",
        limit="host.disk",
    ),
    stat(
        "Inodes taken",
        "Of the file system with the fewest left; without them no file can be made. Not all file systems count them.",
        "max(host:blnk_filesystem_files_used:ratio)",
        unit="percentunit",
        limit="host.inodes",
    ),
    stat(
        "Memory in use",
        "Of the host with the least left; what the kernel can take back at once is not in use.",
        "max(host:blnk_memory_used:ratio)",
        unit="percentunit",
        limit="host.memory",
    ),
    stat(
        "CPU busy",
        "Of the busiest host, over five minutes; waiting for a disk is not work.",
        "max(host:blnk_cpu_busy:ratio_rate5m)",
        unit="percentunit",
        limit="host.cpu",
    ),
    stat(
        "Collectors failing",
        "Collectors that could not read every one of their sources: what they tell is unknown.",
        "count(blnk_exporter_collector_success == 0) or 0 * count(blnk_exporter_collector_success)",
        any_is="orange",
        runbooks=("BlnkExporterCollectorFailing",),
    ),
    stat(
        "Facts missing",
        "Facts that a source which did answer would not give: what is made of them is unknown.",
        "count(blnk_exporter_fact_missing == 1) or 0 * count(blnk_exporter_collector_success)",
        any_is="orange",
        runbooks=("BlnkExporterFactMissing",),
    ),
    stat(
        "Watchdog",
        "An alert that always fires: Prometheus judges its rules. Whether messages arrive, only what hears them outside"
        " can tell.",
        'min(ALERTS{alertname="Watchdog",alertstate="firing",service="blnk"})',
        states={1: ("FIRES", "green")},
        nothing="SILENT",
        alarm=True,
        alerts=("Watchdog",),
    ),
)
_ROOM = (
    Panel(
        title="Disks",
        about="In use, as df counts: what is kept for root is no free space. The ten fullest.",
        queries=(Query("topk(10, host:blnk_filesystem_used:ratio)", "{{instance}} {{path}}"),),
        unit="percentunit",
        limit="host.disk",
        alerts=("BlnkHostDiskHigh",),
    ),
    Panel(
        title="Disks in a day",
        about="In use in a day at the pace of the last six hours, over 100 %: full within a day. Of disks that are not in use"
        " beyond the limit, or not known for an hour yet, what is in use now: their trend is noise.",
        queries=(
            Query(
                f"topk(5, (clamp_min({_IN_A_DAY}, 0) >= 0 and host:blnk_filesystem_used:ratio > @{{host.disk_filling.warning}}"
                " and host:blnk_filesystem_used:ratio offset 1h) or clamp_min(host:blnk_filesystem_used:ratio, 0))",
                "{{instance}} {{path}}",
            ),
        ),
        unit="percentunit",
        alerts=("BlnkHostDiskFilling",),
    ),
    Panel(
        title="Inodes",
        about="Taken; without one no file can be made, however much space is left. No line: they are not counted there.",
        queries=(Query("topk(10, host:blnk_filesystem_files_used:ratio)", "{{instance}} {{path}}"),),
        unit="percentunit",
        limit="host.inodes",
        alerts=("BlnkHostInodesHigh",),
    ),
    Panel(
        title="Memory",
        about="In use, without what the kernel can take back at once. Near the end it kills a database to get some.",
        queries=(Query("topk(10, host:blnk_memory_used:ratio)", "{{instance}}"),),
        unit="percentunit",
        limit="host.memory",
        alerts=("BlnkHostMemoryHigh",),
    ),
    Panel(
        title="CPU",
        about="Busy, of all CPUs of a host, over five minutes; waiting for a disk is not work. Customers feel time, not this.",
        queries=(Query("topk(10, host:blnk_cpu_busy:ratio_rate5m)", "{{instance}}"),),
        unit="percentunit",
        limit="host.cpu",
        alerts=("BlnkHostCpuHigh",),
    ),
    Panel(
        title="Can disks be written?",
        about="Lost: it could be written within the last day, which is what a broken disk does. Read-only for the whole day"
        " is a mount by intent.",
        queries=(Query(f"topk(10, {_READ_ONLY})", "{{instance}} {{path}}"),),
        kind="state-timeline",
        states={0: ("WRITABLE", "green"), 1: ("READ-ONLY", "blue"), 2: ("LOST", "red")},
        alerts=("BlnkHostReadOnly",),
    ),
)
_MORE = (
    Panel(
        title="Left on disk",
        about="Bytes that ordinary users may still write. No line: the exporter does not read it.",
        queries=(Query("bottomk(10, blnk_host_filesystem_available_bytes)", "{{instance}} {{path}}"),),
        unit="bytes",
        width=6,
    ),
    Panel(
        title="Memory left",
        about="What programs can have without swapping, and all there is. Of several hosts, the least. No line: the exporter does not read it.",
        queries=(
            Query("min(blnk_host_memory_available_bytes)", "left"),
            Query("min(blnk_host_memory_total_bytes)", "all"),
        ),
        unit="bytes",
        width=6,
    ),
    Panel(
        title="CPU time",
        about="By mode, of all CPUs; of several hosts, the most of each. Much iowait: the disk is slow; steal: a neighbour has the CPU."
        " No line: the exporter does not read it.",
        queries=(
            Query(
                'max by (mode) (sum by (job, instance, mode) (rate(blnk_host_cpu_seconds_total{mode!="idle"}'
                f"{_RATE})) / {_ALL})",
                "{{mode}}",
            ),
        ),
        unit="percentunit",
        stacked=True,
        width=6,
    ),
    Panel(
        title="Load",
        about="Programs that run or wait, the disk included. More than there are CPUs: some wait. Of several hosts, the"
        " busiest. No line: the exporter does not read it.",
        queries=(
            Query("max by (minutes) (blnk_host_load)", "{{minutes}} min"),
            Query("min(blnk_host_cpus)", "CPUs"),
        ),
        width=6,
    ),
)
HOST = Board(
    name="host",
    title="Host and exporter",
    question="Is there room on the hosts, and does the exporter see what it should tell?",
    rows=(
        Row(title="Now", panels=_SUMMARY),
        Row(title="Is there room on the hosts?", panels=_ROOM),
        Row(title="What the exporter reads", panels=READS),
        Row(title="The exporter itself", panels=ITSELF),
        Row(title="More of the host (where the exporter reads it itself)", panels=_MORE, collapsed=True),
    ),
)
