import shutil
import subprocess
from pathlib import Path

import pytest

from devcluster import certificates

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki") / "certificates"
    certificates.make(made)
    return made


def openssl(*words: str | Path) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout.strip()


def test_only_the_owner_reads_the_keys(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.key")} == {"ca", *certificates.SUBJECTS}
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", certificates.SUBJECTS)
def test_each_certificate_is_signed_by_the_authority_for_both_sides(folder: Path, name: str) -> None:
    for purpose in ("sslserver", "sslclient"):
        openssl("verify", "-purpose", purpose, "-CAfile", folder / "ca.crt", folder / f"{name}.crt")


@pytest.mark.parametrize(
    ("name", "subject", "known_as"),
    [
        ("kubelet", "O = system:nodes, CN = system:node:podenv-dev", "IP Address:10.211.0.1, DNS:podenv-dev"),
        ("apiserver", "CN = kube-apiserver", "IP Address:10.211.254.1, DNS:kubernetes, DNS:kubernetes.default"),
    ],
)
def test_node_and_api_server_speak_for_the_addresses_they_are_reached_at(
    folder: Path, name: str, subject: str, known_as: str
) -> None:
    told = openssl("x509", "-noout", "-subject", "-ext", "subjectAltName", "-in", folder / f"{name}.crt")
    assert told.startswith(f"subject={subject}\n")
    assert known_as in told
