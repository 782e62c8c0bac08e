"""One line per event on standard error; never a traceback's local variables, which hold connection strings."""

import logging
import sys

import structlog

_AS_DICT = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


class _Bridge(logging.Handler):
    """Makes what libraries say through the standard library one line like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        # Of an exception only its kind: its text may hold what it stumbled over, a password even.
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        message = record.getMessage().partition("\n")[0] if kind else record.getMessage()
        structlog.get_logger().log(record.levelno, message, logger=record.name, error=kind)


def set_up(level: str, how: str) -> None:
    """``how`` is ``logfmt`` or ``json``; ``level`` one of debug, info, warning, error."""
    json = how == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_AS_DICT) if json else structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if json
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Only what goes wrong in libraries is of interest.
    logging.basicConfig(level=logging.ERROR, handlers=[_Bridge()], force=True)
