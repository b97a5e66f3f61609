import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from devcluster.errors import DevClusterError
from devcluster.packages import machine_sources

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")

PACKAGE = b"Package: one\nVersion: 1\nArchitecture: all\nFilename: one.deb\nSize: 1\n"


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """Words that have apt read the lists in a folder of the test and nothing else of this machine."""
    for name in ("lists/partial", "cache/archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    given = {"Dir::Etc": tmp_path, "Dir::State::lists": tmp_path / "lists", "Dir::Cache": tmp_path / "cache"}
    return [f"-o{name}={value}" for name, value in given.items()] + ["-oAPT::Sandbox::User=root"]


def test_debians_own_suites_are_found_with_their_components_and_all_others_are_left_out(
    tmp_path: Path, options: list[str]
) -> None:
    uri = f"file:{tmp_path}"
    for suite in ("bookworm", "bookworm-security", "bookworm-backports"):
        folder, sums = tmp_path / "dists" / suite, ""
        for component in ("main", "contrib"):
            index = folder / component / "binary-amd64" / "Packages"
            index.parent.mkdir(parents=True)
            index.write_bytes(PACKAGE)  # of an empty index apt does not tell
            sums += f" {hashlib.sha256(PACKAGE).hexdigest()} {len(PACKAGE)} {component}/binary-amd64/Packages\n"
        head = "Date: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main contrib\n"
        (folder / "Release").write_text(f"Codename: {suite}\n{head}SHA256:\n{sums}")
        with (tmp_path / "sources.list").open("a") as sources:
            sources.write(f"deb [trusted=yes] {uri} {suite} main{' contrib' * (suite == 'bookworm')}\n")
    subprocess.run(["apt-get", *options, "update"], check=True, capture_output=True)
    assert sorted(machine_sources(options=options)) == [f"{uri} bookworm main contrib", f"{uri} bookworm-security main"]
    assert sorted(machine_sources("trixie", options)) == [f"{uri} trixie main contrib", f"{uri} trixie-security main"]


def test_a_machine_without_a_source_for_debian_gets_one_clear_error(options: list[str]) -> None:
    message = "apt on this machine has no source for Debian's bookworm with the component main; add one below"
    with pytest.raises(DevClusterError, match=f"^{re.escape(message)}"):
        machine_sources(options=options)
