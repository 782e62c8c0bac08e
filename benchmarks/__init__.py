"""Measures in one run, side by side, what this exporter costs and what the exporters cost that it replaces.

Everything down to the row that it stands in may be imported, and nothing below it::

    0  words      report · site · ratio
    1  parts      relay · backlog · ledger · exporters
    2  hands      servers · fleet · rounds
    3  questions  side_by_side · wire · growth
    4  command    __main__
"""
