"""Look at the Python that runs this: what is installed, what differs from its record, what cannot be imported.

Runs inside an image, by `podenv verify`: standard library only, Python >= 3.8, nothing of podenv. Prints one line of
JSON after `MARK`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

MARK = "podenv-audit: "


def markers() -> dict[str, str]:
    """The values of environment markers (PEP 508) here."""
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "platform_python_implementation": platform.python_implementation(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def altered(distribution: metadata.Distribution) -> list[str]:
    """Files that are gone, or differ from the hash in the distribution's record; bytecode is made anew from them."""
    wrong = []
    for file in distribution.files or ():
        if file.suffix == ".pyc":
            continue
        try:
            content = Path(file.locate()).read_bytes()
        except OSError:
            wrong.append(f"{file} is missing")
            continue
        if file.hash is None:
            continue
        digest = hashlib.new(file.hash.mode, content).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != file.hash.value:
            wrong.append(f"{file} was changed")
    if distribution.files is None:
        wrong.append("it has no record of its files")
    return wrong


def modules(distribution: metadata.Distribution) -> set[str]:
    """Top-level modules of a distribution, from the places of its files."""
    found: set[str] = set()
    for file in distribution.files or ():
        first = file.parts[0]
        if len(file.parts) > 1:
            if file.suffix in (".py", ".so") and first.isidentifier():
                found.add(first)
        elif file.suffix in (".py", ".so"):
            found.add(first.partition(".")[0])
    # Tests and examples that slipped into a wheel are nobody's library.
    return {name for name in found if name.isidentifier() and not re.match("tests?$|docs?$|examples?$", name)}


def commit(distribution: metadata.Distribution) -> str:
    """The commit, or the hash of sources, that it was built from, as the installer recorded it; empty where none is.

    An image has it from a file in a folder that is named after it (PEP 610).
    """
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return ""
    named = re.search("/([0-9a-f]{40}|[0-9a-f]{64})/[^/]+$", str(origin.get("url", "")))
    return str((origin.get("vcs_info") or {}).get("commit_id") or (named.group(1) if named else ""))


def failing(names: list[str]) -> dict[str, str]:
    """Module -> why it cannot be imported. A child does it: an import may crash or end the process."""
    wrong: dict[str, str] = {}
    left = list(names)
    while left:
        child = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD, *left], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        said = [line for line in child.stdout.decode(errors="replace").splitlines() if line.startswith(MARK)]
        reports = [json.loads(line[len(MARK) :]) for line in said]
        wrong.update({name: why for name, why in reports if why})
        begun = [name for name, _ in reports]
        if begun and begun[-1] == "":  # it came to its end
            break
        if not begun:
            wrong[left[0]] = "no child process can be started for it"
            break
        wrong[begun[-1]] = f"it ended the process ({child.returncode})"
        left = left[left.index(begun[-1]) + 1 :]
    return wrong


_CHILD = """
import importlib, json, os, sys
sys.argv, names = ["audit"], sys.argv[1:]
out = os.fdopen(os.dup(1), "w")
def tell(name, why):
    out.write("\\n" + MARK + json.dumps([name, why]) + "\\n")
    out.flush()
for name in names:
    tell(name, "")
    try:
        importlib.import_module(name)
    except Exception as error:
        tell(name, f"{type(error).__name__}: {error}".splitlines()[0])
tell("", "")
os._exit(0)
""".replace("MARK", repr(MARK))


def name_of(distribution: metadata.Distribution) -> str:
    """Its name; that of its folder where its metadata is gone."""
    folder = str(getattr(distribution, "_path", "unknown")).rpartition("/")[2]
    return distribution.metadata["Name"] or folder.partition("-")[0]


def main() -> None:
    """Print the report."""
    distributions = sorted(metadata.distributions(), key=name_of)
    names = sorted({name for one in distributions for name in modules(one)})
    report = {
        "markers": markers(),
        "installed": [[name_of(one), one.version or "of no version"] for one in distributions],
        "altered": {name_of(one): wrong for one in distributions for wrong in [altered(one)] if wrong},
        "commits": {name_of(one): found for one in distributions for found in [commit(one)] if found},
        "imported": len(names),
        "failing": failing(names),
    }
    print(MARK + json.dumps(report))


if __name__ == "__main__":
    main()
