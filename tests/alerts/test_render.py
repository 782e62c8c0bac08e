"""`render alerts` as an operator uses it: own limits, own folder, one clear sentence for what is wrong."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from blnk_exporter import thresholds
from blnk_exporter.cli import cli
from blnk_exporter.render import alerts, fill

RULES = "queues.rules.yml"


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["render", "alerts", *arguments], catch_exceptions=False)
    first, _, rest = done.output.partition("\n")
    # What was written is told in a line of its own, on standard output.
    written = done.exit_code == 0 and "--check" not in arguments
    assert not written or re.fullmatch(r"wrote \d+ files into .+", first)
    # Another test checks the notes on links.
    rest = "".join(line for line in rest.splitlines(keepends=True) if not line.startswith("note: links lead to "))
    return done.exit_code, rest if written else done.output


def notes(*arguments: str) -> list[str]:
    """What is said on standard error of what was rendered."""
    done = CliRunner().invoke(cli, ["render", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stderr.splitlines()


EXPORTER_NOTE = "note: links lead to http://blnk-exporter:10501; give --exporter-url the address that browsers reach"
GRAFANA_NOTE = "note: links lead to http://grafana:3000; give --grafana-url the address that browsers reach"


def test_links_that_lead_nowhere_are_noted(tmp_path: Path) -> None:
    """No browser resolves the names of containers; a check that writes nothing says nothing of it."""
    out = ("--output", str(tmp_path / "alerts"))
    ours, grafanas = ("--exporter-url", "https://exporter.example.com"), ("--grafana-url", "https://g.example.com")
    assert notes("alerts", *out) == [EXPORTER_NOTE, GRAFANA_NOTE]
    assert notes("alerts", *out, "--check") == []
    assert notes("alerts", *out, *ours) == [GRAFANA_NOTE]
    assert notes("alerts", *out, *ours, *grafanas) == []
    boards = ("--output", str(tmp_path / "boards"))
    assert notes("dashboards", *boards) == [EXPORTER_NOTE]
    assert notes("dashboards", *boards, *ours) == []


def test_several_are_rendered_at_once(tmp_path: Path) -> None:
    """Each with its options, as the stack of containers does; a check that finds something ends with the first."""
    everything = ["alerts", "--output", f"{tmp_path}/a", "targets", "--output", f"{tmp_path}/a", "--blnk-version"]
    everything += ["0.15.2", "dashboards", "--output", f"{tmp_path}/d"]
    assert notes(*everything) == [EXPORTER_NOTE, GRAFANA_NOTE, EXPORTER_NOTE]
    assert {path.name for path in tmp_path.iterdir()} == {"a", "d"}
    assert (tmp_path / "a/blnk-targets.yml").is_file()
    checks = ["alerts", "--check", "--output", f"{tmp_path}/a", "dashboards", "--check", "--output", f"{tmp_path}/d"]
    assert notes(*checks) == []
    (board, *_) = (tmp_path / "d").glob("*.json")
    board.unlink()
    done = CliRunner().invoke(cli, ["render", *checks])
    assert (done.exit_code, board.name in done.stderr) == (1, True)


@pytest.mark.parametrize("version", ["0.13.2", "v0.13.0", "0.14.0", "0.15.2", "1.0.0"])
def test_targets_follow_the_release(tmp_path: Path, version: str) -> None:
    """Blnk exports metrics since 0.14.0; a target that is always down would teach people to look away."""
    wanted = ["blnk-server:5001", "[::1]:5004"]
    given = [part for address in wanted for part in ("--target", address)]
    noted = notes("targets", "--output", str(tmp_path), "--blnk-version", version, *given)
    made = yaml.safe_load((tmp_path / "blnk-targets.yml").read_text())
    if "0.13" in version:
        assert made == []
        assert noted == [f"note: Blnk {version.removeprefix('v')} has no metrics: blnk-targets.yml names no target"]
    else:
        assert (made, noted) == ([{"targets": wanted}], [])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Missing option '--blnk-version'"),
        (("--blnk-version", "latest"), "must be a release of Blnk such as 0.15.2"),
        (("--blnk-version", "0.15.2", "--target", "http://blnk:5001"), "must be host:port"),
        (("--blnk-version", "0.15.2", "--target", "blnk"), "must be host:port"),
        (("--blnk-version", "0.15.2", "--target", "blnk:0"), "must be host:port"),
        (("--blnk-version", "0.15.2", "--target", 'a", "b:1'), "must be host:port"),
    ],
)
def test_a_wrong_target_is_refused(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = CliRunner().invoke(cli, ["render", "targets", "--output", str(tmp_path / "out"), *arguments])
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def tree(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_the_same_site_gives_the_same_files(tmp_path: Path) -> None:
    """Two machines, one commit: no difference; and what is written is what is checked."""
    assert run("--output", str(tmp_path / "a")) == (0, "")
    assert tree(tmp_path / "a") == alerts.render(fill.Site())
    assert run("--output", str(tmp_path / "a"), "--check") == (0, "")


def test_one_limit_changes_rules_and_runbooks(tmp_path: Path) -> None:
    """Nothing else does."""
    run("--output", str(tmp_path / "a"))
    assert run("--output", str(tmp_path / "b"), "--set", "queues.depth.warning=5000") == (0, "")
    before, after = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {RULES, "runbooks/BlnkQueuesBacklog.md"}
    assert "blnk_queues_pending_tasks > 5000" in after[RULES]
    assert "warning over 5,000\u00a0tasks" in after["runbooks/BlnkQueuesBacklog.md"]


def test_a_file_of_limits_is_taken_and_a_flag_goes_over_it(tmp_path: Path) -> None:
    """With and without units."""
    mine = tmp_path / "mine.yml"
    mine.write_text(
        "queues.oldest_pending: {warning: 2m, critical: 600}\nqueues.failing: {unit: ratio, warning: 30%}\n"
    )
    code, said = run("--output", str(tmp_path), "--thresholds", str(mine), "--set", "queues.oldest_pending.warning=90s")
    assert (code, said) == (0, "")
    found = yaml.safe_load((tmp_path / RULES).read_text())["groups"][0]["rules"]
    expressions = {(rule["alert"], rule["labels"]["severity"]): rule["expr"] for rule in found if "alert" in rule}
    assert expressions["BlnkQueuesWaiting", "warning"].endswith("> 90")
    assert expressions["BlnkQueuesWaiting", "critical"].endswith("> 600")
    assert "> 0.3\n" in expressions["BlnkQueuesFailing", "warning"]


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("queues.dept.warning=1", "--set: queues.dept: is no limit; did you mean queues.depth?"),
        ("nothing.like.it=1", "--set: nothing.like: is no limit"),
        ("queues.depth.warning", "--set queues.depth.warning: is not of the form queues.depth.warning=5000"),
        ("queues.depth.critical=1", "--set: queues.depth: has warning, but no critical"),
        ("queues.depth.warning=many", "--set: queues.depth: warning 'many' is no number of tasks"),
        ("queues.depth.warning=5m", "--set: queues.depth: warning '5m' is not in tasks; without a unit, or with tasks"),
        ("queues.depth.warning=-1", "--set: queues.depth: warning -1 is less than nothing"),
        ("queues.depth.warning=nan", "--set: queues.depth: warning 'nan' is no number of tasks"),
        (
            "host.disk.warning=80",
            "--set: host.disk: warning 80 is more than all: a ratio is 0 to 1, or a percentage such as 80%",
        ),
        ("host.disk.warning=95%", "--set: host.disk: critical 90\u00a0% must lie above warning 95\u00a0%"),
        ("queues.oldest_pending.critical=1m", "critical 60\u00a0s must lie above warning 60\u00a0s"),
    ],
)
def test_a_faulty_flag_is_told_and_changes_nothing(tmp_path: Path, assignment: str, sentence: str) -> None:
    """One sentence that says what and where."""
    code, said = run("--output", str(tmp_path / "out"), "--set", assignment)
    assert code == 1
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("queues.depth: 5000\n", "queues.depth: is no table of warning and critical"),
        ("queues.depth: {unit: seconds, warning: 5}\n", "queues.depth: is counted in tasks, not in seconds"),
        ("queues.depth: {warning: [1]}\n", "queues.depth: warning is no number"),
        ("queues.depth: {warning: yes}\n", "queues.depth: warning is no number"),
        ("- 1\n", "must hold keys and their values"),
        ("queues.depth: {warning: 1\n", "line 2, column 1: is no YAML"),
    ],
)
def test_a_faulty_file_is_told_with_its_name(tmp_path: Path, content: str, sentence: str) -> None:
    """Every fault of it, and nothing is written."""
    mine = tmp_path / "mine.yml"
    mine.write_text(content)
    code, said = run("--output", str(tmp_path / "out"), "--thresholds", str(mine))
    assert code == 1
    assert f"Error: {mine}: " in said
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_check_names_what_is_edited_missing_or_left_over(tmp_path: Path) -> None:
    """And writes nothing; what is not ours in the folder is no matter."""
    run("--output", str(tmp_path))
    (tmp_path / RULES).write_text((tmp_path / RULES).read_text() + "# edited")
    (tmp_path / "README.md").unlink()
    (tmp_path / "runbooks/BlnkOld.md").write_text("Rendered by `blnk-exporter render alerts`.")
    (tmp_path / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    code, said = run("--output", str(tmp_path), "--check")
    assert code == 1
    assert sorted(said.splitlines()) == [
        f"{tmp_path / 'README.md'} is missing",
        f"{tmp_path / RULES} is not what would be rendered",
        f"{tmp_path / 'runbooks/BlnkOld.md'} belongs to nothing that is rendered",
        "Rendered with other options? --check compares with what those given here would render.",
    ]
    assert tree(tmp_path) == before
    left = tmp_path / "runbooks/BlnkOld.md"
    told = f"note: {left} was rendered once, or is a copy: remove it if nothing needs it\n"
    assert run("--output", str(tmp_path)) == (0, told)
    assert left.exists(), "somebody may have made it of ours"
    left.unlink()
    assert run("--output", str(tmp_path), "--check") == (0, "")
    assert (tmp_path / "mine.txt").exists()


def test_nobody_elses_file_is_touched(tmp_path: Path) -> None:
    """Where others have their rules, theirs stay; one in the place of ours is a reason to write none."""
    (tmp_path / "runbooks").mkdir()
    others = {"payments.rules.yml": "groups: []", "node.rules.yml": "x", "runbooks/KafkaDown.md": "# Kafka"}
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    assert run("--output", str(tmp_path)) == (0, "")
    assert {name: (tmp_path / name).read_text() for name in others} == others
    (tmp_path / "README.md").write_text("# Team wiki")
    before = tree(tmp_path)
    code, said = run("--output", str(tmp_path), "--set", "queues.depth.warning=5")
    assert (code, said) == (
        1,
        f"Error: {tmp_path / 'README.md'} is in the way: nothing in it says that it was rendered by us\n",
    )
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--output", ""), "is empty"),
        (("--exporter-job", "("), "is no regular expression"),
        (("--exporter-job", ""), "is empty"),
        (("--blnk-job", "[a"), "is no regular expression"),
        (("--side-queues", "*"), "is no regular expression"),
        (("--noisy-queues", "(?P<x>a)"), "holds '(?P<', which Prometheus does not know"),
        (("--exporter-job", "(?=x)y"), "holds '(?=', which"),
        (("--host-metrics", "kubelet", "--host-matchers", "instance="), "is not of the form"),
        (("--host-metrics", "node_exporter", "--host-matchers", '{instance="a"}'), "is not of the form"),
        (("--host-metrics", "node_exporter", "--host-matchers", 'instance="a"} or vector(1'), "is not of the form"),
        (("--host-matchers", 'instance="a"'), "choose among the hosts of --host-metrics"),
        (("--exporter-url", ""), "is not of the form https://host"),
        (("--exporter-url", "blnk:10501"), "is not of the form"),
        (("--exporter-url", "http://x y"), "is not of the form"),
        (("--exporter-url", "http://x/{{ .Foo }}"), "is not of the form"),
        (("--exporter-url", "http://x:port"), "is not of the form"),
        (("--grafana-url", 'http://g/"'), "is not of the form"),
        (("--grafana-url", "ftp://x"), "is not of the form"),
        (("--set", "queues.depth=5000"), "does not say which of its limits: queues.depth.warning"),
        (("--set", "queues.depth.warning=1", "--set", "queues.depth.warning=2"), "was set already"),
        (("--set", "queues.depth.warning=5000.5"), "is no whole number of tasks"),
    ],
)
def test_a_site_is_checked_before_anything_is_written(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    """Prometheus refuses all of its rules for one wrong word in them."""
    code, said = run("--output", str(tmp_path / "out"), *arguments)
    assert code in {1, 2}
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_what_a_person_says_of_a_site_is_taken(tmp_path: Path) -> None:
    """Escaped as PromQL has it, and without a slash too many."""
    code, said = run(
        *("--output", str(tmp_path), "--exporter-job", r"blnk-exporter\.prod|a\"b", "--exporter-url", "https://x.y/z/"),
        *("--host-metrics", "kubelet", "--host-matchers", 'namespace="blnk", persistentvolumeclaim=~"data-.*"'),
    )
    assert (code, said) == (
        0,
        "note: kubelet has no metrics for BlnkHostReadOnly, BlnkHostMemoryHigh, BlnkHostCpuHigh\n",
    )
    text = (tmp_path / "exporter.rules.yml").read_text()
    assert r'up{job=~"blnk-exporter\\.prod|a\\\"b"}' in text.replace("\\\n", "")
    assert "runbook_url: https://x.y/z/runbooks/BlnkExporterDown" in text
    code, said = run("--output", str(tmp_path / "other"), "--host-metrics", "node_exporter")
    assert (code, said) == (0, "note: without --host-matchers every host that Prometheus knows is taken for Blnk's\n")


def test_a_folder_that_cannot_be_written_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    """A file where a folder should be, and one name that is taken."""
    (tmp_path / "file").write_text("")
    code, said = run("--output", str(tmp_path / "file/alerts"))
    assert code == 1
    assert said.startswith("Error: cannot write ")
    (tmp_path / "out" / RULES).mkdir(parents=True)
    code, said = run("--output", str(tmp_path / "out"))
    assert (code, said) == (1, f"Error: cannot write {tmp_path / 'out' / RULES}: is a directory\n")
    assert tree(tmp_path / "out") == {}


def test_limits_are_the_ones_that_the_page_has() -> None:
    """There is one file of them."""
    assert fill.Site().limits is thresholds.load()


@pytest.mark.parametrize(
    "text",
    [
        "@{queues.depth}",
        "@{queues.depth.critical}",
        "@{nope.x.warning}",
        "@{queues.depth.warning",
        "@{queues.depth.warning|word}",
    ],
)
def test_a_placeholder_that_stands_for_nothing_is_a_defect(text: str) -> None:
    """It never reaches a rule."""
    with pytest.raises(ValueError, match=r"nothing|placeholder"):
        fill.fill(text, fill.Site())


def test_the_exporter_goes_by_the_same_file(tmp_path: Path) -> None:
    """Its page and its runbooks say what the rules say; a faulty one is a fault of the configuration."""
    (tmp_path / "mine.yml").write_text("queues.depth: {warning: 7}\n")
    (tmp_path / "exporter.yml").write_text(f"servers: [http://127.0.0.1:1]\nthresholds: {tmp_path / 'mine.yml'}\n")
    check = ["check-config", "--config.file", str(tmp_path / "exporter.yml")]
    assert CliRunner().invoke(cli, check).exit_code == 0
    (tmp_path / "mine.yml").write_text("queues.dept: {warning: 7}\n")
    done = CliRunner().invoke(cli, check)
    assert done.exit_code == 1
    assert f"{tmp_path / 'mine.yml'}: queues.dept: is no limit; did you mean queues.depth?" in done.output


def test_all_limits_can_be_seen_and_given_back(tmp_path: Path) -> None:
    """What is printed is taken, and changes nothing."""
    done = CliRunner().invoke(cli, ["render", "limits"])
    assert done.exit_code == 0
    assert "queues.depth:" in done.output
    (tmp_path / "limits.yml").write_text(done.output)
    out = tmp_path / "out"
    assert run("--output", str(out), "--thresholds", str(tmp_path / "limits.yml")) == (0, "")
    assert tree(out) == alerts.render(fill.Site())


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    """Is told as such."""
    (tmp_path / "file").write_text("")
    code, said = run("--output", str(tmp_path / "file"))
    assert code == 2
    assert f"{tmp_path / 'file'} is a file; it must be a directory" in said


def test_an_alert_leads_to_the_board_of_its_own_deployment() -> None:
    """By the labels that it has when it fires; those without an instance lead to the board alone."""
    texts = alerts.render(fill.Site())
    for name, variable in (("queues", "instance"), ("ledger", "instance"), ("host", "host")):
        urls = re.findall(r"dashboard_url: (.+)\n?", texts[f"{name}.rules.yml"].replace("\n            ", " "))
        assert urls
        for url in urls:
            assert f"{{{{ with $labels.instance }}}}&var-{variable}={{{{ . | urlquery }}}}{{{{ end }}}}" in url
    assert "var-instance" not in texts["blnk.rules.yml"]
