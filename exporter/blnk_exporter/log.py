"""One line per event on standard error; never a traceback's local variables, which hold connection strings."""

import logging
import sys

import structlog

_AS_DICT = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def set_up(level: str, how: str) -> None:
    """``how`` is ``logfmt`` or ``json``; ``level`` one of debug, info, warning, error."""
    json = how == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_AS_DICT) if json else structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if json
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries speak through the standard library; only what goes wrong in them is of interest.
    logging.basicConfig(
        level=logging.ERROR, stream=sys.stderr, format="level=%(levelname)s event=%(message)r logger=%(name)s"
    )
