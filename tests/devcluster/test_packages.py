import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from devcluster.errors import DevClusterError
from devcluster.packages import Source, as_source_list, machine_sources

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")

LIST = """\
deb [trusted=yes arch=amd64] {uri} bookworm main contrib # why
deb [trusted=yes] {uri} bookworm-backports main
deb [trusted=yes] {uri} bookworm-pgdg main
"""
DEB822 = """\
Types: deb
URIs: {uri}
Suites: bookworm-security
Components: main
Trusted: yes

Types: deb
Enabled: no
URIs: {uri}
Suites: bookworm-updates
Components: main
"""


def serve(folder: Path, suite: str) -> None:
    """A suite with one package in a repository in `folder`; of an empty index apt does not tell."""
    package, sums = b"Package: one\nVersion: 1\nArchitecture: all\nFilename: one.deb\nSize: 1\n", ""
    for component in ("main", "contrib"):
        index = folder / "dists" / suite / component / "binary-amd64" / "Packages"
        index.parent.mkdir(parents=True)
        index.write_bytes(package)
        sums += f" {hashlib.sha256(package).hexdigest()} {len(package)} {component}/binary-amd64/Packages\n"
    head = f"Codename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main contrib\n"
    (folder / "dists" / suite / "Release").write_text(f"{head}SHA256:\n{sums}")


def apt(folder: Path) -> list[str]:
    """Words that have apt read the lists in `folder` and nothing else of this machine."""
    for name in ("sources.list.d", "lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    given = {"Dir::Etc": folder, "Dir::State::lists": folder / "lists", "Dir::Cache": folder / "cache"}
    return [f"-o{name}={value}" for name, value in given.items()] + ["-oAPT::Sandbox::User=root"]


def test_debians_own_suites_are_found_in_both_formats_and_all_others_are_left_out(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for suite in ("bookworm", "bookworm-backports", "bookworm-pgdg", "bookworm-security", "bookworm-updates"):
        serve(repository, suite)
    options = apt(tmp_path)
    uri = f"file:{repository}"
    one, two = tmp_path / "sources.list", tmp_path / "sources.list.d" / "b.sources"
    one.write_text(LIST.format(uri=uri))
    two.write_text(DEB822.format(uri=uri))
    subprocess.run(["apt-get", *options, "update"], check=True, capture_output=True)
    assert sorted(machine_sources(*options), key=lambda source: source.suite) == [
        Source(uri, "bookworm", ("main", "contrib"), one),
        Source(uri, "bookworm-security", ("main",), two),
    ]


def test_a_machine_without_a_source_for_debian_gets_one_clear_error(tmp_path: Path) -> None:
    message = "apt on this machine has no source for Debian's bookworm with the component main; add one below"
    with pytest.raises(DevClusterError, match=f"^{re.escape(message)}"):
        machine_sources(*apt(tmp_path))


def test_a_list_that_names_sources_keeps_its_options() -> None:
    assert as_source_list(LIST).startswith("deb-src [trusted=yes arch=amd64] {uri} bookworm main contrib # why")
    assert as_source_list(LIST).count("deb-src ") == 3
    assert as_source_list(DEB822) == DEB822.replace("Types: deb", "Types: deb-src")


def test_another_release_is_read_from_the_same_place() -> None:
    source = Source("http://m.example/debian-security", "bookworm-security", ("main",), Path("x"))
    assert source.line("trixie") == "deb http://m.example/debian-security trixie-security main"
