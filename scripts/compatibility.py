"""``scripts/compat``: parse, local and engine tests on the versions that podenv claims, each in a venv of its own."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from podenv.errors import PythonNotFound
from podenv.lock import uv
from podenv.venv import python

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podenv" / "compat"
ENDS = {"lowest": "lowest-direct", "newest": "highest"}  # of the claimed range, and uv's word for it
AIRFLOW, PROVIDER = "apache-airflow", "apache-airflow-providers-cncf-kubernetes"
# When Airflow 3.1.8 came out. Airflow's makers test a version with the libraries of its days only: 3.1.0 does not
# start with a structlog that is a month younger.
DAY_OF_LOWEST_AIRFLOW = "2026-03-12"
# As requirements-dev.txt locks them; plain tasks read frames by the last three.
TOOLS = ("hypothesis", "jsonschema", "pytest", "pytest-xdist", "pandas", "polars", "pyarrow")
TESTS = ("unit", "dags", "local", "pods", "lock", "cli", "release", "airflow/test_tracing.py", "ui/test_pages.py")


@dataclass(frozen=True)
class Combination:
    """One end of the claimed range, on one Python."""

    end: str
    python: str

    @property
    def folder(self) -> Path:
        """Holds its lock, its virtual environment and the output of its tests."""
        return CACHE / f"{self.end}-py{self.python}"

    @property
    def lock(self) -> Path:
        return self.folder / "requirements.txt"

    @property
    def interpreter(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def __str__(self) -> str:
        return f"{self.end} versions on Python {self.python}"


@dataclass(frozen=True)
class Outcome:
    """How the tests of a combination ended; ``problem`` says why they did not run."""

    combination: Combination
    versions: dict[str, str]
    counts: Counter[str]
    problem: str = ""

    def row(self) -> str:
        """A line of the table."""
        shown = [self.combination.python, *(self.versions.get(name, "-") for name in (AIRFLOW, PROVIDER))]
        shown += [str(self.counts[name]) for name in ("passed", "failed", "skipped")] if not self.problem else []
        return f"| {' | '.join([*shown, *([self.problem, '-', '-'] if self.problem else [])])} |"


def claimed() -> tuple[list[str], list[Requirement]]:
    """The Pythons that pyproject.toml names, and what podenv asks for with all `extras`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: "
    pythons = [one.removeprefix(prefix) for one in project["classifiers"] if one.startswith(prefix)]
    asked = [*project["dependencies"], *chain(*extras().values())]
    return pythons, [one for one in map(Requirement, asked) if one.name != project["name"]]


def extras() -> dict[str, list[str]]:
    """What a user may install podenv with, and what each asks for."""
    every = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {name: asked for name, asked in every.items() if name != "dev"}


def pinned(lock: Path) -> dict[str, str]:
    """Name to version, of the lines of a lock."""
    lines = (line.split()[0] for line in lock.read_text().splitlines() if line[:1].isalnum())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def run_uv(*argv: str | Path, sent: str = "") -> None:
    """Run uv; what it says on stderr is shown."""
    subprocess.run([uv(), *argv, "--quiet"], cwd=ROOT, input=sent, text=True, check=True, stdout=subprocess.DEVNULL)


def resolve(combination: Combination, asked: Sequence[Requirement]) -> dict[str, str]:
    """Lock the versions of a combination."""
    argv = ["pip", "compile", "-", "--no-header", "--no-annotate", "--output-file", str(combination.lock)]
    argv += ["--python-version", combination.python]
    combination.lock.unlink(missing_ok=True)
    if combination.end == "lowest":
        (airflow,) = (one for one in asked if one.name == AIRFLOW)
        lowest = min(Version(bound.version) for bound in airflow.specifier)
        run_uv(*argv, "--exclude-newer", DAY_OF_LOWEST_AIRFLOW, sent=f"{AIRFLOW}-core=={lowest.base_version}.*")
        direct = {canonicalize_name(one.name) for one in asked}
        of_its_days = [f"{name}=={version}\n" for name, version in pinned(combination.lock).items()]
        # uv keeps what the file has where that fits; what we ask for ourselves becomes the lowest.
        combination.lock.write_text("".join(line for line in of_its_days if line.partition("==")[0] not in direct))
    tools = pinned(ROOT / "requirements-dev.txt")
    argv += ["pyproject.toml", "--resolution", ENDS[combination.end], *(f"--extra={name}" for name in extras())]
    run_uv(*argv, sent="\n".join(f"{name}=={tools[name]}" for name in TOOLS))
    return pinned(combination.lock)


def install(combination: Combination, interpreter: Path) -> None:
    """Make the virtual environment what the lock says, with podenv itself from this checkout."""
    venv = combination.folder / "venv"
    run_uv("venv", "--allow-existing", "--python", interpreter, venv)
    run_uv("pip", "sync", "--compile-bytecode", "--python", venv, combination.lock)
    run_uv("pip", "install", "--no-deps", "--python", venv, "--editable", ROOT)


def test(combination: Combination, words: Sequence[str]) -> Counter[str]:
    """Counts of passed, failed and skipped tests; their output goes into a file."""
    report, output = combination.folder / "report.xml", combination.folder / "output.txt"
    report.unlink(missing_ok=True)
    folders = [f"tests/{name}" for name in TESTS if (ROOT / "tests" / name).exists()]
    argv = [str(combination.interpreter), "-m", "pytest", "-n", "2", "--dist", "loadfile", "-m", "not cluster"]
    if combination.end == "lowest":  # libraries of other days warn of one another: that it works is what counts here
        argv += ["-W", "default"]
    argv += ["-p", "no:cacheprovider", f"--junitxml={report}", *(words or folders)]
    environ = {**os.environ, "PATH": f"{combination.interpreter.parent}{os.pathsep}{os.environ['PATH']}"}
    with output.open("wb") as into:
        done = subprocess.run(argv, cwd=ROOT, env=environ, stdout=into, stderr=subprocess.STDOUT, check=False)
    counts = _counts(report) if report.is_file() else Counter(failed=1)
    if done.returncode != 0:
        end = output.read_text(errors="replace").splitlines()[-40:]
        print(*end, f"pytest ended with {done.returncode}; all that it said: {output}", sep="\n", file=sys.stderr)
        counts["failed"] = counts["failed"] or 1
    return counts


def _counts(report: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        number = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
        failed = number["failures"] + number["errors"]
        counts += Counter(passed=number["tests"] - failed - number["skipped"], failed=failed, skipped=number["skipped"])
    return counts


def outcome(combination: Combination, asked: Sequence[Requirement], words: Sequence[str]) -> Outcome:
    """Lock, install and test one combination."""
    try:
        interpreter = python.find(combination.python, wanted_by="scripts/compat", uv=uv())
    except PythonNotFound:
        return Outcome(combination, {}, Counter(), "not on this machine")
    combination.folder.mkdir(parents=True, exist_ok=True)
    print(f"── {combination}: installing", file=sys.stderr, flush=True)
    try:
        versions = resolve(combination, asked)
        install(combination, interpreter)
    except subprocess.CalledProcessError:
        return Outcome(combination, {}, Counter(failed=1), "cannot be installed")
    print(f"── {combination}: testing, with Airflow {versions[AIRFLOW]}", file=sys.stderr, flush=True)
    return Outcome(combination, versions, test(combination, words))


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes in Markdown, as the README shows them."""
    head = "| Python | Airflow | cncf-kubernetes | passed | failed | skipped |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(one.row() for one in outcomes)])


def main() -> int:
    """Exit code 0 if tests ran and none failed, else 1; 130 when it was interrupted."""
    pythons, asked = claimed()
    parser = argparse.ArgumentParser(
        prog="scripts/compat",
        description="Run the tests that need no cluster on the lowest and the newest Airflow, Kubernetes provider and "
        f"libraries that pyproject.toml claims, on each Python, in virtual environments below {CACHE}; print a table.",
    )
    parser.add_argument("--versions", choices=ENDS, action="append", help="only this end of the range; else both")
    parser.add_argument("--python", choices=pythons, action="append", help="only this Python; else each of them")
    parser.add_argument("words", nargs="*", metavar="PYTEST_ARGUMENT", help="after --: instead of the usual folders")
    given = parser.parse_args()
    os.environ["UV_PYTHON_DOWNLOADS"] = "never"  # a Python that is not on this machine is named, not fetched
    combinations = [Combination(end, one) for end in given.versions or ENDS for one in given.python or pythons]
    try:
        outcomes = [outcome(one, asked, given.words) for one in combinations]
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    print(table(outcomes))
    return (
        1 if any(one.counts["failed"] for one in outcomes) or not any(one.counts["passed"] for one in outcomes) else 0
    )


if __name__ == "__main__":
    sys.exit(main())
