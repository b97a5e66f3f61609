"""What this machine has: versions, uv, interpreters, the catalogue, locks, package indexes, Airflow's view of it."""

from __future__ import annotations

import configparser
import os
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from packaging.requirements import Requirement
from urllib3.exceptions import HTTPError

from podenv import lock, process
from podenv.catalogue.environment import Catalogue
from podenv.doctor.finding import CheckFailed, NotHere, State
from podenv.doctor.subject import Subject
from podenv.errors import CatalogueNotFound, LockError, ProgramError, SettingError
from podenv.lock import indexes, program
from podenv.venv import python

PYPI = "https://pypi.org/simple"
_ASKED_FOR = "pip"  # every mirror has it; an index that lacks it answers all the same
_ANSWER_SECONDS = 10.0
_FORBIDDEN = ("never", "manual", "false", "0")


def versions() -> tuple[State, str]:
    """podenv and what it runs with, against the versions that it names itself."""
    own = [Requirement(line) for line in requires("podenv") or ()]
    wrong, airflow = [], ""
    for extra in ("cli", "airflow"):
        for one in own:
            if one.marker is None or "extra" not in str(one.marker) or not one.marker.evaluate({"extra": extra}):
                continue
            installed = _version(one.name)
            if one.name == "apache-airflow":
                airflow = installed
            if installed and not one.specifier.contains(installed, prereleases=True):
                wrong.append(f"{one.name} is {installed}, podenv needs {one.specifier}")
    if wrong:
        raise CheckFailed(f"{'; '.join(wrong)}: install podenv anew, `pip install 'podenv[airflow,cli]'`.")
    if not airflow:
        return State.WARNING, (
            f"podenv {version('podenv')}, no Airflow here: `podenv run` and `podenv usage` need it, "
            "`pip install 'podenv[airflow]'`"
        )
    provider = _version("apache-airflow-providers-cncf-kubernetes")
    return State.OK, f"podenv {version('podenv')}, Airflow {airflow}, cncf-kubernetes {provider}"


def uv() -> tuple[State, str]:
    """The uv program."""
    found = program.uv()
    said = process.run([found, "--version"], timeout=_ANSWER_SECONDS).stdout.strip()
    return State.OK, f"{said.partition(' (')[0]} ({found})"


def interpreters(subject: Subject) -> tuple[State, str]:
    """A Python of each version that the environments name; nothing is downloaded."""
    needed = sorted({one.python for one in subject.environments}, key=lambda text: int(text.partition(".")[2]))
    if not needed:
        raise NotHere("no environment names one")
    missing = [one for one in needed if not _is_here(one)]
    if not missing:
        return State.OK, ", ".join(needed)
    text = f"no Python {' or '.join(missing)} here"
    if os.environ.get("UV_PYTHON_DOWNLOADS", "").lower() in _FORBIDDEN:
        raise CheckFailed(f"{text}, and UV_PYTHON_DOWNLOADS forbids to download it; install it.")
    return State.WARNING, f"{text}: `podenv sync` lets uv download it, or run `uv python install {' '.join(missing)}`"


def _is_here(wanted: str) -> bool:
    if any(python.probe(one, wanted) for one in python.candidates(wanted)):
        return True
    try:
        process.run(
            [program.uv(), "python", "find", "--no-python-downloads", "--managed-python", wanted],
            timeout=_ANSWER_SECONDS,
        )
    except ProgramError:
        return False
    return True


def catalogue() -> tuple[State, str]:
    """The envs/ folder, and that all values can be read."""
    found = Catalogue.find()
    for name in found.names():
        _ = found[name]  # raises for what cannot be read
    count = len(found.names())
    return State.OK, f"{found.root}, {count} environment{'s' * (count != 1)}"


def locks(subject: Subject) -> tuple[State, str]:
    """That each lock is what its requirements.in asks for."""
    wrong = []
    for one in subject.environments:
        try:
            lock.check(one)
        except LockError:
            wrong.append(one.name)
    if not subject.environments:
        raise NotHere("there is no environment")
    if wrong:
        raise CheckFailed(f"not fresh: {', '.join(wrong)}; run `podenv lock {' '.join(wrong)}`.")
    return State.OK, f"all fresh ({len(subject.environments)})"


def index(subject: Subject) -> tuple[State, str]:
    """Each package index that the environments use: it answers, and takes the login."""
    urls: dict[str, str] = {}
    for one in subject.environments:
        try:
            config = tomllib.loads(indexes.for_build(one, []).toml)
        except SettingError as error:
            if subject.uses_pods:
                raise
            return State.WARNING, str(error)
        tables = config.get("index", [])
        for table in [*tables, *([] if any(table.get("default") for table in tables) else [{"url": PYPI}])]:
            parts = urlsplit(str(table["url"]))
            urls[parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()] = str(table["url"])
    for shown, url in (urls or {PYPI: PYPI}).items():
        _ask_index(shown, url)
    return State.OK, ", ".join(urls or {PYPI: PYPI})


def _ask_index(shown: str, url: str) -> None:
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/{_ASKED_FOR}/")
    headers = urllib3.make_headers(basic_auth=f"{user}:{password}") if user else {}
    timeout = urllib3.Timeout(connect=5, read=_ANSWER_SECONDS)
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request(
                "GET", bare.geturl(), headers=headers, timeout=timeout, retries=1, preload_content=False
            )
            answer.release_conn()
    except HTTPError as error:
        why = str(getattr(error, "reason", None) or error).rpartition(": ")[2]
        raise CheckFailed(
            f"{shown} does not answer ({why}); check the network, and UV_DEFAULT_INDEX or `image.index`."
        ) from None
    if answer.status in (401, 403):
        raise CheckFailed(
            f"{shown} wants {'another' if user else 'a'} login ({answer.status}); put it into the netrc file, "
            "`uv auth login`, or the variables of uv for that index."
        )
    if answer.status >= 500:
        raise CheckFailed(f"{shown} answers {answer.status}; try again later.")


def airflow_view(subject: Subject) -> tuple[State, str]:
    """Which catalogue Airflow finds for a DAG on this machine, by its own settings."""
    config = _airflow_config()
    configured = os.environ.get("AIRFLOW__PODENV__CATALOGUE") or config.get("podenv", "catalogue", fallback="")
    folder = os.environ.get("AIRFLOW__CORE__DAGS_FOLDER") or config.get("core", "dags_folder", fallback="")
    beside = subject.catalogue.root.parent / "dags" if subject.catalogue else Path("dags")
    dags = Path(folder).expanduser() if folder else beside
    if not dags.is_dir():
        raise NotHere(f"there is no folder of DAGs ({dags})")
    try:
        seen = Catalogue.find(dags, configured=configured or None)
    except CatalogueNotFound as error:
        if subject.catalogue is None:
            raise
        return State.WARNING, (
            f"DAGs in {dags} find no catalogue, so wrong names are found only when a task starts: set [podenv] "
            f"catalogue to {subject.catalogue.root} ({str(error).partition(';')[0]})"
        )
    if subject.catalogue is not None and seen.root.resolve() != subject.catalogue.root.resolve():
        return State.WARNING, (
            f"DAGs in {dags} find {seen.root}, the command line {subject.catalogue.root}: set [podenv] catalogue and "
            "PODENV_CATALOGUE to the same folder"
        )
    return State.OK, f"DAGs in {dags} find {seen.root}"


def _airflow_config() -> configparser.ConfigParser:
    """The airflow.cfg in force; an empty one where there is none."""
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read(os.environ.get("AIRFLOW_CONFIG") or home / "airflow.cfg", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise CheckFailed(f"airflow.cfg cannot be read: {str(error).splitlines()[0]}; correct it.") from None
    return config


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
