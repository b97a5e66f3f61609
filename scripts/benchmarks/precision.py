"""The import rules of `podenv check` on known-good code: a finding that the interpreter does not confirm is false."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from podenv import lock, venv
from podenv.catalogue.environment import Catalogue, Environment
from podenv.check import engine, members, modules, shelf, sources
from podenv.check.imports import collect
from podenv.check.rules.modules import Resolver
from podenv.check.subject import Subject

ROOT = Path(__file__).parents[2]
CORPUS = ("pandas", "sklearn", "scipy")
REQUIREMENTS = "pandas\nscikit-learn\nscipy\npytest\nhypothesis\n"
CONFIRM = """
import importlib, json, sys
def has(module, name):
    try:
        found = importlib.import_module(module)
    except Exception:
        return False
    if not name:
        return True
    try:
        importlib.import_module(f"{module}.{name}")
        return True
    except ImportError:
        return hasattr(found, name)
json.dump([has(*one) for one in json.load(sys.stdin)], sys.stdout)
"""


@dataclass(frozen=True)
class Claim:
    """A rule says that ``module``, or its ``name``, is not there."""

    rule: str
    file: str
    line: int
    module: str
    name: str = ""


def lay_out(root: Path, python: str) -> Environment:
    """An environment with the libraries whose tests are the corpus, locked."""
    folder = root / "envs" / "corpus"
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text(f'python: "{python}"\nplatforms: [linux/amd64]\n')
    (folder / "requirements.in").write_text(REQUIREMENTS)
    environment = Catalogue(root / "envs")["corpus"]
    lock.resolve(environment)
    return environment


def corpus(packages: Path) -> list[Path]:
    """The test files that the libraries ship."""
    return sorted(file for name in CORPUS for file in (packages / name).rglob("tests/**/*.py"))


def absent(subject: Subject, files: list[Path]) -> Iterator[Claim]:
    """What the rules `import` and `stdlib` say is missing."""
    assert subject.modules is not None
    assert subject.shelf is not None
    resolver = Resolver(subject, subject.modules)
    for file in files:
        tree = sources.parse(file).tree
        for one in collect(tree.body, subject.python):
            if one.certainty != "guarded" and not one.level and resolver.missing(one.module) is not None:
                instead = [resolver.missing(module) for module in one.instead_of]
                if not one.instead_of or any(instead):
                    yield Claim("import", str(file.relative_to(subject.shelf.packages)), one.line, one.module)


def nameless(subject: Subject, files: list[Path]) -> tuple[list[Claim], list[Claim]]:
    """What ty says of names in modules: before, and after, what `import-name` leaves of it."""
    program = engine.find()
    assert program is not None, "ty is not installed"
    assert subject.shelf is not None
    assert subject.modules is not None
    assert subject.members is not None
    texts = [sources.parse(file).text + "\n" for file in files]
    said, kept = [], []
    for file, found in zip(files, engine.run(program, subject.shelf, subject.modules, texts, []), strict=True):
        for raw in found:
            if raw.rule in ("import-name", "attribute") and (one := members.of_module(raw.said)):
                claim = Claim("import-name", str(file.relative_to(subject.shelf.packages)), raw.line, *one)
                said.append(claim)
                if subject.members.lacks(*one):
                    kept.append(claim)
    return said, kept


def false(environment: Environment, claims: list[Claim]) -> list[Claim]:
    """The claims that the interpreter of the environment refutes."""
    python = venv.interpreter(venv.sync(environment).path)
    asked = json.dumps([[one.module, one.name] for one in claims])
    answer = subprocess.run(
        [python, "-W", "ignore", "-c", CONFIRM], input=asked, capture_output=True, text=True, check=True
    )
    return [one for one, there in zip(claims, json.loads(answer.stdout), strict=True) if there]


def main() -> int:
    """Exit code 0 when no rule claims what is not so."""
    parser = argparse.ArgumentParser(prog="scripts/precision", description=__doc__)
    parser.add_argument("--python", default="3.13", help="the environment's Python (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="print each finding")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = lay_out(Path(folder), chosen.python)
        began = time.perf_counter()
        found = shelf.make(environment)
        subject = Subject(environment, sources.Sources([]), shelf=found, modules=modules.read(found))
        files = corpus(found.packages)
        lines = sum(file.read_bytes().count(b"\n") for file in files)
        imports = list(absent(subject, files))
        said, names = nameless(subject, files)
        took = time.perf_counter() - began
        wrong = {"import": false(environment, imports), "import-name": false(environment, names)}
        alone = false(environment, said)
    print(f"{len(files)} files, {lines} lines of {', '.join(CORPUS)}, judged in {took:.1f} s")
    print(f"import, stdlib: {len(imports)} findings, {len(wrong['import'])} false")
    print(f"import-name: {len(names)} findings, {len(wrong['import-name'])} false")
    print(f"ty alone: {len(said)} names, {len(alone)} false")
    shown = [*imports, *names] if chosen.show else [*wrong["import"], *wrong["import-name"]]
    for one in shown:
        print(f"  {one.file}:{one.line}: {one.rule}: {one.module} {one.name}")
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    refuted = {rule: [asdict(one) for one in each] for rule, each in wrong.items()}
    document = {"files": len(files), "lines": lines, "false": refuted}
    (results / "precision.json").write_text(json.dumps(document, indent=2) + "\n")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
