"""What the demo prints of alerts."""

import click

from blnk_exporter.demo_alerts import changes, known, sent
from blnk_exporter.sandbox import Alert, Delivery


def alert(state: str, name: str = "BlnkQueuesWaiting", severity: str = "warning", **labels: str) -> Alert:
    told = {"summary": "Transactions wait.", "description": f"{labels.get('queue')} waits."}
    return Alert(state=state, labels={"alertname": name, "severity": severity, "job": "j", **labels}, annotations=told)


def lines(before: list[Alert], now: list[Alert]) -> list[str]:
    return [click.unstyle(line) for line in changes(known(before), known(now))]


def test_an_alert_is_told_when_its_state_changes() -> None:
    """Pending, firing, resolved; and never twice."""
    pending, firing = alert("pending", queue="q1"), alert("firing", queue="q1")
    assert lines([], [pending]) == ["pending   warning   BlnkQueuesWaiting  queue=q1"]
    assert lines([pending], [pending]) == []
    assert lines([pending], [firing]) == ["firing    warning   BlnkQueuesWaiting  q1 waits."]
    assert lines([firing], [firing]) == []
    assert lines([firing], []) == ["resolved  warning   BlnkQueuesWaiting  queue=q1"]
    assert lines([pending], []) == ["passed    warning   BlnkQueuesWaiting  queue=q1"]


def test_what_comes_together_is_one_line() -> None:
    """Twenty queues are one trouble; another severity is another line."""
    queues = [alert("firing", queue=f"q{number}") for number in range(20)]
    critical = alert("firing", severity="critical", queue="q1")
    assert lines([], [*queues, critical]) == [
        "firing    warning   BlnkQueuesWaiting (20)  Transactions wait.",
        "firing    critical  BlnkQueuesWaiting  q1 waits.",
    ]


def test_the_watchdog_is_not_told() -> None:
    """It always fires, and says nothing about the scenario."""
    watchdog = alert("firing", name="Watchdog", severity="none")
    assert lines([], [watchdog]) == []
    assert sent(Delivery(receiver="dead-mans-switch", alerts=[watchdog])) == ""


def test_a_message_says_whom_it_is_for() -> None:
    """And how many alerts of which state it tells of."""
    some = [alert("firing", queue="q1"), alert("firing", queue="q2"), alert("resolved", queue="q3")]
    expected = "told      pager     BlnkQueuesWaiting firing (2), BlnkQueuesWaiting resolved"
    assert sent(Delivery(receiver="pager", alerts=some)) == expected
