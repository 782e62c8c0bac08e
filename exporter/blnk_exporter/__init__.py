"""Prometheus exporter for a Blnk ledger deployment.

A *collector* reads one kind of source and returns a *reading*: a frozen dataclass of facts. From the reading
*samples* are made. Nothing downstream does I/O, nothing upstream knows who looks::

    blnk.json  BLNK_*  exporter.yml  BLNK_EXPORTER_*  flags
           └──────────────┬──────────────────────────┘
                          ▼ config.load
                      Settings (frozen)
                          ▼ clients.open_clients
                       Clients
                          ▼ collectors.bind
             one Room per enabled collector: the collector and its sources
                          ▼ scrape: every source at once, one deadline
                      Snapshot = one Outcome per enabled collector
                  ┌───────┴────────┐
                  ▼                ▼
             exposition         figures
                  ▼                ▼
       /metrics, /probe            /

Each row may import the rows above it and nothing below (tests/house holds that)::

    0  words     errors · metric · right · collector · table · quantity · json_answer
    1  pure      formats · config · health · postgres_facts
                 ledger_facts · thresholds · figures · history
    2  edge      clients                                     the drivers live here
    3  rooms     collectors
    4  act       flight · scrape · news
    5  views     exposition · service · fleet · render
    6  face      web · serve · ping · notify · watchdog · line_writer · sandbox
    7  wiring    cli · demo · demo_alerts · log
"""

__version__ = "0.1.0"
