"""Which queues hold tasks of transactions, and how many there are."""

from blnk_exporter.ledger_facts import tasks


def test_queues_are_the_expected_ones_and_their_registered_siblings() -> None:
    """Of a release whose default is another number of shards; not what else is registered."""
    registered = [b"t_2", b"t_30", b"t_x", b"webhook", b"hot", b"other_1", b"t_"]
    assert tasks.queues(["t_1", "t_2", "hot"], registered) == [b"t_1", b"t_2", b"hot", b"t_30", b"t_"]


def test_a_task_that_moves_while_it_is_counted_counts() -> None:
    """From retry to pending, or from active back to either; per queue, not of their sum."""
    asked = tasks.commands([b"a", b"b"])
    assert asked[2:4] == [("LLEN", b"asynq:{a}:pending"), ("LLEN", b"asynq:{a}:active")]
    assert [command[1].rpartition(b":")[2] for command in asked[6:]] == [
        *(b"scheduled", b"retry", b"pending"),
        *(b"active", b"retry", b"pending"),
    ]
    assert tasks.count([1, 2, 0, 5, 0, 7, 0, 0, 4, 0, 3, 1]) == (1 + 2 + 7 + 5) + (3 + 4)
    assert tasks.count([]) == 0
