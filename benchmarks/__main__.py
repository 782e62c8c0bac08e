"""``python -m benchmarks``: asks every question and prints what was found."""

import asyncio
import functools
import json
import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import click
import psutil

from . import before, exporters, growth, side_by_side, wire
from .bench import FULL, QUICK, Bench, furnished
from .report import Answer

Question = Callable[[Bench], Awaitable[Answer]]
QUESTIONS: dict[str, Question] = {
    "side-by-side": side_by_side.ask,
    "network": wire.ask,
    "queues": growth.queues,
    "backlog": growth.backlog,
    "table": growth.table,
}


@click.command()
@click.option("--quick", is_flag=True, help="Smaller deployments and few rounds: to see that it works, not to quote.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures there, too.")
@click.option(
    "--before",
    "checkout",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Compare with this checkout of an earlier commit as well.",
)
@click.argument("questions", nargs=-1, type=click.Choice([*QUESTIONS]))
def main(questions: tuple[str, ...], json_path: Path | None, checkout: Path | None, *, quick: bool) -> None:
    """Compare this exporter with the peers that are on this machine; all QUESTIONS unless some are named.

    With --before and no QUESTIONS, compare with that checkout alone.
    """
    if checkout:
        chosen = {name: QUESTIONS[name] for name in questions} | {
            "before": functools.partial(before.ask, checkout=checkout)
        }
    else:
        chosen = {name: QUESTIONS[name] for name in questions or QUESTIONS}
    missing = [peer.name for peer in exporters.PEERS if not peer.program]
    if not checkout and not any(peer.program for peer in exporters.PEERS if peer is not exporters.NODE):
        raise click.ClickException("no peer is on this machine; benchmarks/peers.sh fetches them")
    machine = _machine()
    click.echo(f"{machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}")
    for name in missing:
        click.echo(f"left out, since it is not on this machine: {name}")
    answers = asyncio.run(_ask(chosen, quick=quick))
    verdicts = [verdict for answer in answers.values() for verdict in answer.verdicts]
    click.echo("\n## Targets\n\n" + "\n".join(verdict.text() for verdict in verdicts))
    if json_path:
        found = {name: asdict(answer) for name, answer in answers.items()}
        whole = {"machine": machine, "quick": quick, "left_out": missing, "answers": found}
        json_path.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


async def _ask(questions: Mapping[str, Question], *, quick: bool) -> dict[str, Answer]:
    began, answers = time.monotonic(), {}

    def report(text: str) -> None:
        click.echo(f"[{time.monotonic() - began:4.0f} s] {text}", err=True)

    async with furnished(QUICK if quick else FULL, report) as bench:
        for name, ask in questions.items():
            report(name)
            answers[name] = await ask(bench)
            for text in answers[name].text():
                click.echo(f"\n{text}")
    return answers


def _machine() -> dict[str, object]:
    memory_gib = round(psutil.virtual_memory().total / (1 << 30))
    return {"cores": os.cpu_count(), "memory_gib": memory_gib, "python": platform.python_version()}


if __name__ == "__main__":
    main()
