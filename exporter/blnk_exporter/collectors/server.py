"""Blnk's API servers: does each instance answer that it is UP, and how fast.

Source:   GET /health of every instance
Needs:    nothing; the route is open even with server.secure
By hand:  curl -i http://127.0.0.1:5001/health
Cost:     one request and one new connection per instance; Blnk pings PostgreSQL for it

UP says nothing of Redis, of the workers or of the queues: Blnk looks at none of them.
"""

from ..collector import Collector
from ..health import HealthMetrics, probe

HEALTH = HealthMetrics("server", "Blnk server")

COLLECTOR = Collector(
    name="server",
    help="Health and response time of Blnk's API servers.",
    metrics=HEALTH.all,
    read=probe,
    samples=HEALTH.samples,
)
