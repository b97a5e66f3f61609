"""List the system's packages around the Python that runs this.

Runs inside an image: standard library only, Python >= 3.8, nothing of podenv. Prints one line of JSON after `MARK`.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

MARK = "podenv-inventory: "


def stanzas(text: str) -> list[dict[str, str]]:
    """The entries of a file of Debian's control format; continued lines are left out."""
    entries = []
    for block in text.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines() if line[:1] not in (" ", "\t", ""))
        entries.append({key: value.strip() for key, _, value in pairs})
    return entries


def installed(root: Path) -> list[list[str]]:
    """Name, version, architecture and source (``name`` or ``name (version)``) of each Debian package, sorted."""
    folder = root / "var" / "lib" / "dpkg"
    files = [folder / "status", *sorted((folder / "status.d").glob("*"))]  # the latter is distroless
    found = []
    for file in files:
        if not file.is_file() or file.name.endswith(".md5sums"):
            continue
        for one in stanzas(file.read_text(errors="replace")):
            if "Package" in one and one.get("Status", "install ok installed").endswith(" installed"):
                found.append([one["Package"], one["Version"], one.get("Architecture", ""), one.get("Source", "")])
    return sorted(found)


def release(root: Path) -> dict[str, str]:
    """What /etc/os-release says; empty where there is none."""
    try:
        lines = (root / "etc" / "os-release").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


if __name__ == "__main__":
    here = Path("/")
    print(MARK + json.dumps({"os": release(here), "packages": installed(here), "python": platform.python_version()}))
