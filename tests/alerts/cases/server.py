"""Blnk's API servers."""

from ..story import LIMITS, Case

ONE, OTHER = ('blnk_server_up{address="blnk-1:5001"}', 'blnk_server_up{address="blnk-2:5001"}')
SLOW = 'blnk_server_response_seconds{address="blnk-1:5001"}'
LIMIT = LIMITS["server.response"].critical or 0

CASES = {
    # One of two is no outage.
    "BlnkServerDown": Case(quiet={ONE: 0, OTHER: 1}, loud={ONE: 0, OTHER: 0}),
    "BlnkServerInstanceDown": (
        Case(quiet={ONE: 1, OTHER: 1}, loud={ONE: 0, OTHER: 1}),
        # All of two is one, and has an alert of its own.
        Case(quiet={ONE: 0, OTHER: 0}, loud={ONE: 0, OTHER: 1}),
    ),
    "BlnkServerSlow": Case(quiet={SLOW: LIMIT}, loud={SLOW: LIMIT + 0.1}),
}
