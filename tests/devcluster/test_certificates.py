import shutil
import subprocess
from pathlib import Path

import pytest

from devcluster import certificates

WANTED = certificates.requests("podenv-dev", "10.211.0.1", "10.211.254.1")

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki") / "certificates"
    certificates.make(made, WANTED)
    return made


def told(folder: Path, name: str, *options: str) -> str:
    argv = ["openssl", "x509", "-noout", "-in", str(folder / f"{name}.crt"), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_only_the_owner_reads_the_keys(folder: Path) -> None:
    keys = sorted(path.stem for path in folder.glob("*.key"))
    assert keys == sorted(["ca", *(request.file for request in WANTED)])
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", [request.file for request in WANTED])
def test_each_certificate_is_signed_by_the_authority_for_both_sides(folder: Path, name: str) -> None:
    for purpose in ("sslserver", "sslclient"):
        argv = [
            "openssl",
            "verify",
            "-purpose",
            purpose,
            "-CAfile",
            str(folder / "ca.crt"),
            str(folder / f"{name}.crt"),
        ]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_the_kubelet_speaks_for_its_node_and_the_nodes_own_address(folder: Path) -> None:
    assert told(folder, "kubelet", "-subject").strip() == "subject=O = system:nodes, CN = system:node:podenv-dev"
    names = told(folder, "kubelet", "-ext", "subjectAltName")
    assert "DNS:podenv-dev, IP Address:127.0.0.1, IP Address:10.211.0.1" in names


def test_the_api_server_speaks_for_its_service(folder: Path) -> None:
    names = told(folder, "apiserver", "-ext", "subjectAltName")
    assert "DNS:kubernetes.default.svc" in names
    assert "IP Address:10.211.254.1" in names


def test_two_clusters_share_no_authority(folder: Path, tmp_path: Path) -> None:
    certificates.make(tmp_path / "other", [])
    assert told(folder, "ca", "-fingerprint") != told(tmp_path / "other", "ca", "-fingerprint")
