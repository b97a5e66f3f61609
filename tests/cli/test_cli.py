import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import PODENV, Run

COMMANDS = [
    "list", "init", "new", "migrate", "doctor", "lock", "sync", "prune", "run", "usage", "sizes", "plan", "affected",
    "outdated", "schema",
]  # fmt: skip


def make(root: Path, name: str, asked: str = "alpha\n", *, values: str = 'python: "3.11"\n') -> Path:
    folder = root / "envs" / name
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text(values)
    (folder / "requirements.in").write_text(asked)
    return folder


def python(code: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run podenv behind a few lines of Python."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nfrom podenv.cli import main\nmain()", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def untimed(said: str) -> str:
    """``said`` without the times of what took more than a second."""
    return re.sub(r" \(\d+\.\d s\)", "", said)


def test_without_arguments_it_prints_its_help(podenv: Run) -> None:
    shown = podenv(exit_code=2)
    assert "Usage: podenv [OPTIONS] COMMAND [ARGS]..." in shown.stderr
    names = re.findall(r"^  ([a-z]+)  +[A-Z]", shown.stderr.partition("Commands:")[2], re.MULTILINE)
    assert [name for name in names if name in COMMANDS] == COMMANDS
    assert "..." not in shown.stderr.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_with_an_example(command: str) -> None:
    from typer.testing import CliRunner

    from podenv.cli.app import app

    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example:  podenv {command}" in shown.stdout


def test_version_and_schema_need_no_catalogue(podenv: Run) -> None:
    assert re.fullmatch(r"podenv \d+\.\d+\.\d+\n", podenv("--version").stdout)
    assert json.loads(podenv("schema").stdout)["properties"]["python"]["type"] == "string"


def test_what_needs_a_catalogue_says_that_there_is_none(podenv: Run, tmp_path: Path) -> None:
    for command in ("list", "lock", "sync"):
        failed = podenv(command, exit_code=1)
        assert failed.stdout == ""
        assert failed.stderr.startswith(f"error: There is no envs/ folder with environments in {tmp_path} or above it;")
        assert failed.stderr.count("\n") == 1
    assert "there is no folder nowhere." in podenv("--catalogue", "nowhere", "list", exit_code=2).stderr


def test_a_new_environment_can_be_locked_and_installed(podenv: Run, tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    assert "or begin with `podenv init`." in podenv("list", exit_code=1).stderr
    made = podenv("new", "etl", "--python", "3.11", "--description", 'Loads "raw": tables')
    assert made.stdout == (
        "Made envs/etl with values.yaml and requirements.in. Next:\n"
        "  1. write its packages into envs/etl/requirements.in\n"
        "  2. podenv lock etl\n"
        '  3. podenv sync etl, then use it in a DAG: @task.env("etl")\n'
    )
    assert sorted(path.name for path in (tmp_path / "envs").rglob("*")) == ["etl", "requirements.in", "values.yaml"]
    with (tmp_path / "envs" / "etl" / "requirements.in").open("a") as file:
        file.write("alpha\n")
    (row,) = json.loads(podenv("list", "--json").stdout)
    assert (row["python"], row["lock"], row["ready"], row["packages"], row["description"]) == (
        "3.11",
        "missing",
        False,
        ["alpha"],
        'Loads "raw": tables',
    )
    assert untimed(podenv("lock").stdout) == "etl: locked, 1 package\n"
    assert podenv("lock").stdout == "etl: unchanged\n"
    (synced,) = json.loads(podenv("sync", "etl", "--json").stdout)
    assert (synced["name"], synced["created"], synced["error"]) == ("etl", True, None)
    assert Path(synced["path"], "bin", "python").exists()
    (row,) = json.loads(podenv("list", "--json").stdout)
    assert (row["lock"], row["ready"]) == ("fresh", True)
    assert podenv("sync").stdout == "etl: ready\n"
    (tmp_path / "envs" / "etl" / "requirements.txt").unlink()
    pruned = json.loads(podenv("prune", "--json").stdout)
    assert [one["path"] for one in pruned["removed"]] == [synced["path"]]
    assert podenv("prune").stdout == "0 removed, 0 B freed; 0 left.\n"


def test_new_refuses_what_exists_and_what_cannot_be(podenv: Run, tmp_path: Path) -> None:
    make(tmp_path, "etl")
    before = sorted((tmp_path / "envs").rglob("*"))
    taken = podenv("new", "etl", "--python", "3.11", exit_code=1)
    assert taken.stderr == f"error: {tmp_path / 'envs' / 'etl'} exists already; edit it, or choose another name.\n"
    assert "'Etl' cannot name an environment" in podenv("new", "Etl", "--python", "3.11", exit_code=2).stderr
    for python in ("3.11.4", "3.7"):
        bad = podenv("new", "other", "--python", python, exit_code=2).stderr
        assert f"'{python}' is not a Python version that podenv can use; write it like 3.13: 3.8 or newer, no" in bad
    podenv("new", "other", exit_code=2)
    assert sorted((tmp_path / "envs").rglob("*")) == before


def test_new_finds_the_catalogue_from_below(podenv: Run, tmp_path: Path, variables: Mapping[str, str]) -> None:
    make(tmp_path, "etl")
    below = tmp_path / "dags" / "deep"
    below.mkdir(parents=True)
    subprocess.run([PODENV, "new", "next", "--python", "3.12"], cwd=below, env=variables, check=True, timeout=60)
    assert [row["name"] for row in json.loads(podenv("list", "--json").stdout)] == ["etl", "next"]


def test_list_shows_the_good_ones_beside_those_that_cannot_be_read(podenv: Run, tmp_path: Path) -> None:
    make(tmp_path, "good", "beta\nalpha>1\n", values='python: "3.11"\ndescription: "[red]brackets[/red] stay"\n')
    make(tmp_path, "values", values="pyton: 3\n")
    make(tmp_path, "lines", "a>>1\n")
    shown = podenv("list", exit_code=1)
    assert shown.stdout == (
        "NAME     PYTHON   LOCK      LOCAL   PACKAGES     DESCRIPTION\n"
        "good     3.11     missing   -       beta alpha   [red]brackets[/red] stay\n"
        "lines    3.11     invalid   -       -\n"
        "values   -        invalid   -       -\n"
    )
    errors = shown.stderr.splitlines()
    assert errors[0].startswith(f"error: {tmp_path / 'envs' / 'lines' / 'requirements.in'}, line 1: 'a>>1' is no")
    assert errors[1].startswith(f"error: {tmp_path / 'envs' / 'values' / 'values.yaml'}: pyton: there is no such key.")
    assert len(errors) == 2


def test_lock_check_names_each_stale_environment_and_why(podenv: Run, tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    _, changed, missing = (make(tmp_path, name) for name in ("fresh", "changed", "missing"))
    podenv("lock", "fresh", "changed")
    (changed / "requirements.in").write_text("alpha<2\n")
    failed = podenv("lock", "--check", exit_code=1)
    assert failed.stdout == "1 of 3 locks are fresh.\n"
    assert failed.stderr == (
        f"error: changed: {changed}/requirements.txt is older than requirements.in or a file that it includes; "
        "run `podenv lock changed`.\n"
        f"error: missing: {missing}/requirements.txt is missing; run `podenv lock missing`.\n"
    )
    told = json.loads(podenv("lock", "--check", "--json", exit_code=1).stdout)
    assert [(one["name"], one["fresh"]) for one in told] == [("changed", False), ("fresh", True), ("missing", False)]
    assert told[1]["why"] == ""
    assert podenv("lock", "--check", "fresh").stdout == "1 of 1 locks are fresh.\n"
    assert "give one of --check and --upgrade." in podenv("lock", "--check", "--upgrade", exit_code=2).stderr


def test_an_environment_that_fails_stops_no_other(podenv: Run, tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    make(tmp_path, "bad", "alpha<1\n")
    good = make(tmp_path, "good")
    make(tmp_path, "values", values="pyton: 3\n")
    failed = podenv("lock", exit_code=1)
    assert untimed(failed.stdout) == "good: locked, 1 package\n"
    assert (good / "requirements.txt").exists()
    assert "error: Environment 'bad': no set of versions satisfies " in failed.stderr
    assert "there is no such key. Did you mean 'python'?" in failed.stderr
    assert failed.stderr.endswith("2 of 3 environments could not be locked.\n")
    outcomes = json.loads(podenv("lock", "--json", exit_code=1).stdout)
    assert [(one["name"], one["changed"], one["error"] is None) for one in outcomes] == [
        ("bad", False, False),
        ("good", False, True),
        ("values", False, False),
    ]
    installed = podenv("sync", exit_code=1)
    assert installed.stdout.startswith("good: made")
    assert "requirements.txt is missing; run `podenv lock bad`." in installed.stderr
    assert installed.stderr.endswith("2 of 3 environments could not be made.\n")


def test_a_wrong_name_is_refused_before_anything_is_done(podenv: Run, tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    folder = make(tmp_path, "data-cleaning")
    failed = podenv("lock", "data-cleaning", "data-cleanin", exit_code=1)
    assert failed.stderr.startswith("error: There is no environment 'data-cleanin' in ")
    assert "Did you mean 'data-cleaning'?" in failed.stderr
    assert not (folder / "requirements.txt").exists()
    assert "'../x' cannot name an environment: use lower-case" in podenv("lock", "../x", exit_code=1).stderr


def test_an_empty_catalogue_says_how_to_begin(podenv: Run, tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    said = (
        f"There is no environment in {tmp_path}/envs yet; "
        f"make one with `podenv --catalogue {tmp_path}/envs new NAME --python X.Y`.\n"
    )
    assert podenv("--catalogue", "envs", "list").stdout == said
    assert podenv("--catalogue", "envs", "lock", exit_code=1).stderr == f"error: {said}"


def test_a_yanked_release_is_a_warning(podenv: Run, tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    page = index.root / "alpha" / "index.html"
    page.write_text(page.read_text().replace("<a ", '<a data-yanked="broken" '))
    make(tmp_path, "etl", "alpha==1.0\n")
    assert podenv("lock").stderr == 'warning: etl: `alpha==1.0` is yanked (reason: "broken")\n'


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> socket.socket:
    """An index that takes connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return server


@pytest.mark.parametrize(
    ("number", "exit_code", "said"), [(signal.SIGINT, 130, "Interrupted.\n"), (signal.SIGTERM, 143, "")]
)
def test_an_interruption_ends_the_running_programs_and_leaves_nothing(
    number: signal.Signals,
    exit_code: int,
    said: str,
    tmp_path: Path,
    variables: Mapping[str, str],
    stuck: socket.socket,
) -> None:
    folders = [make(tmp_path, f"env-{number}") for number in range(6)]
    with (
        stuck,
        subprocess.Popen(
            [PODENV, "lock"], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running,
    ):
        stuck.settimeout(30)
        connection, _ = stuck.accept()  # a uv is waiting for the index now
        running.send_signal(number)
        began = time.monotonic()
        stdout, stderr = running.communicate(timeout=30)
        assert time.monotonic() - began < 10
        assert (running.returncode, stdout, stderr) == (exit_code, "", said)
        connection.settimeout(10)
        while connection.recv(4096):  # ends when that uv is gone
            pass
        connection.close()
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["requirements.in", "values.yaml"]


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, variables: Mapping[str, str]) -> None:
    make(tmp_path, "etl")
    with subprocess.Popen(
        [PODENV, "list"], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


def shell(line: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """What comes of a line of shell in which ``$PODENV`` is the program."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=cwd,
        env={**os.environ, "PODENV": str(PODENV), **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_output_that_is_full_or_closed_is_no_bug(tmp_path: Path, variables: Mapping[str, str]) -> None:
    make(tmp_path, "etl")
    full = shell('"$PODENV" list > /dev/full', tmp_path)
    assert (full.returncode, full.stderr) == (
        1,
        "error: The output cannot be written: No space left on device; free some space there.\n",
    )
    for line in ('"$PODENV" list >&-', '"$PODENV" list 2>&-'):
        closed = shell(line, tmp_path)
        assert (closed.returncode, closed.stderr) == (0, "")


def test_a_text_that_the_terminal_cannot_show_or_would_obey_is_escaped(
    tmp_path: Path, variables: Mapping[str, str]
) -> None:
    make(tmp_path, "etl", values='python: "3.11"\ndescription: "é\\n\\e[31mred"\n')
    assert shell('"$PODENV" list', tmp_path).stdout.splitlines()[1].endswith("   é \\x1b[31mred")
    plain = shell('"$PODENV" list', tmp_path, PYTHONIOENCODING="ascii")
    assert plain.stdout.splitlines()[1].endswith("   \\xe9 \\x1b[31mred")


def test_what_only_other_commands_need_is_not_loaded(tmp_path: Path, variables: Mapping[str, str]) -> None:
    make(tmp_path, "etl")
    code = (
        "import atexit\natexit.register(lambda: print(*sorted({'kubernetes', 'urllib3', 'airflow'} & {*sys.modules})))"
    )
    assert python(code, "list", cwd=tmp_path).stdout.splitlines()[2:] == [""]


def on_terminal(words: list[str], cwd: Path, variables: Mapping[str, str], *, columns: int = 80) -> str:
    """What podenv writes to a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with subprocess.Popen(
        [PODENV, *words], cwd=cwd, env=variables, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        written = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux says so when no process holds the other end
                break
            if not chunk:
                break
            written += chunk
        running.wait(30)
    os.close(ours)
    return written.decode()


def test_colours_and_progress_are_for_terminals(
    podenv: Run, tmp_path: Path, index: Any, variables: Mapping[str, str]
) -> None:
    index.add("alpha", "1.0")
    make(tmp_path, "etl")
    assert "\x1b[33mmissing" in on_terminal(["list"], tmp_path, variables)
    assert "\x1b[33m" not in on_terminal(["list"], tmp_path, {**variables, "NO_COLOR": "1"})
    locked = on_terminal(["lock"], tmp_path, variables)
    assert "etl 0:00:00" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", locked)
    assert untimed(locked).endswith("etl: locked, 1 package\r\n")
    assert "\x1b" not in podenv("list").stdout
    assert podenv("lock").stderr == ""


def test_a_narrow_terminal_breaks_lines_not_words(tmp_path: Path, variables: Mapping[str, str]) -> None:
    make(tmp_path, "etl", values='python: "3.11"\ndescription: Loads the raw tables\n')
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(["list"], tmp_path, variables, columns=20))
    heading, row = shown.splitlines()[:2]
    assert heading.split() == ["NAME", "PYTHON", "LOCK", "LOCAL", "PACKAGES", "DESCRIPTION"]
    assert row.split()[:5] == ["etl", "3.11", "missing", "-", "alpha"]


def test_no_line_is_cut_where_there_is_no_terminal(podenv: Run, tmp_path: Path) -> None:
    long = "x" * 400
    make(tmp_path, "etl", values=f'python: "3.11"\ndescription: {long}\n')
    assert podenv("list", COLUMNS="40").stdout.splitlines()[1].endswith(long)
    failed = podenv("lock", "y" * 39, exit_code=1, COLUMNS="40")
    assert failed.stderr.count("\n") == 1


def test_the_shell_completes_names_of_environments(podenv: Run, tmp_path: Path) -> None:
    for name in ("data-cleaning", "data-ingestion", "etl"):
        make(tmp_path, name)

    def completed(words: str) -> list[str]:
        done = podenv(_PODENV_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
        return done.stdout.split()

    assert completed("podenv lock data-") == ["data-cleaning", "data-ingestion"]
    assert completed("podenv sync ") == ["data-cleaning", "data-ingestion", "etl"]
    (tmp_path / "envs").rename(tmp_path / "elsewhere")
    assert completed("podenv lock data-") == []
    assert completed("podenv --catalogue elsewhere lock e") == ["etl"]


BLOCK_AIRFLOW = "sys.modules['airflow'] = None"


def test_everything_but_dags_works_without_airflow(tmp_path: Path, variables: Mapping[str, str]) -> None:
    make(tmp_path, "etl")
    assert python(BLOCK_AIRFLOW, "list", cwd=tmp_path).returncode == 0
    assert python(BLOCK_AIRFLOW, "schema", cwd=tmp_path).returncode == 0
    assert python(BLOCK_AIRFLOW, "new", "other", "--python", "3.12", cwd=tmp_path).returncode == 0
    for words in (("usage",), ("run", "any")):
        failed = python(BLOCK_AIRFLOW, *words, cwd=tmp_path)
        assert failed.returncode == 1
        assert failed.stderr == (
            f"error: `podenv {words[0]}` reads DAG files, which needs Airflow; "
            "install it with `pip install 'podenv[airflow]'`.\n"
        )


def test_the_base_install_says_what_the_command_line_needs(tmp_path: Path) -> None:
    failed = python("sys.modules['typer'] = None", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == "error: The command line needs typer; install it with `pip install 'podenv[cli]'`.\n"


def test_an_interruption_while_it_loads_is_one_line_too(tmp_path: Path, variables: Mapping[str, str]) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = subprocess.run(
        [PODENV, "list"], env={**variables, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")


def test_a_bug_shows_its_stack_trace_without_the_values_of_variables(tmp_path: Path) -> None:
    failed = python(
        "from podenv.catalogue.environment import Catalogue\n"
        "def find():\n"
        "    password = 'hun' + 'ter2'\n"
        "    raise ZeroDivisionError('a bug')\n"
        "Catalogue.find = find",
        "list",
        cwd=tmp_path,
    )
    assert failed.returncode == 1
    assert "Traceback (most recent call last)" in failed.stderr
    assert failed.stderr.endswith("ZeroDivisionError: a bug\n")
    assert "hunter2" not in failed.stderr


def test_a_list_of_500_takes_at_most_five_times_what_5_take(
    tmp_path: Path, podenv: Run, variables: Mapping[str, str]
) -> None:
    def listed(count: int) -> float:
        root = tmp_path / str(count)
        for number in range(count):
            make(root, f"env-{number:03}", "alpha\nbeta>=2\ngamma\n")

        def once() -> float:
            began = time.perf_counter()
            podenv("--catalogue", root / "envs", "list")
            return time.perf_counter() - began

        return min(once() for _ in range(3))

    assert listed(500) <= 5 * listed(5)
