import json
from pathlib import Path

import pytest

from podenv.errors import RegistryLoginNeeded
from podenv.image import credentials
from podenv.image.credentials import Login


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def helper(folder: Path, name: str, body: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_credential_helpers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "cloud", """read host; echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"for $host\\"}" """)
    helper(tmp_path, "keys", """read host; echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"of $host\\"}" """)
    helper(tmp_path, "empty", "echo credentials not found in native keychain; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    environ = {"REGISTRY_AUTH_FILE": str(tmp_path / "a.json")}
    write(tmp_path / "a.json", {"credHelpers": {"r.example": "cloud"}, "credsStore": "keys"})
    assert credentials.find("r.example", "etl", environ) == Login("", "for r.example")
    assert credentials.find("other.example", "etl", environ) == Login("me", "of other.example")
    assert credentials.find("docker.io", "etl", environ) == Login("me", "of https://index.docker.io/v1/")
    write(tmp_path / "a.json", {"credsStore": "empty"})
    assert credentials.find("r.example", "etl", environ) is None


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    environ = {"REGISTRY_AUTH_FILE": str(tmp_path / "a.json")}
    write(tmp_path / "a.json", {"credHelpers": {"r.example": "nowhere"}})
    with pytest.raises(RegistryLoginNeeded, match=r"docker-credential-nowhere is not on PATH"):
        credentials.find("r.example", "etl", environ)
    write(tmp_path / "a.json", "{")
    with pytest.raises(RegistryLoginNeeded, match=r"a\.json is not valid JSON"):
        credentials.find("r.example", "etl", environ)
    write(tmp_path / "a.json", {"auths": {"r.example": {"auth": "!"}}})
    assert credentials.find("r.example", "etl", environ) is None
