"""Where a project's checkout comes from, as git says it and as people open it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from podenv import origin


@pytest.mark.parametrize(
    ("remote", "address", "page"),
    [
        ("https://u:token@git.example.com:8443/data/p.git", "https://git.example.com:8443/data/p.git",
         "https://git.example.com:8443/data/p"),
        ("git@git.example.com:data/p.git", "ssh://git.example.com/data/p.git", "https://git.example.com/data/p"),
        ("ssh://git@git.example.com:2222/data/p.git/", "ssh://git.example.com:2222/data/p.git/",
         "https://git.example.com/data/p"),
        ("/srv/git/p.git", "/srv/git/p.git", ""),
        ("file:///srv/git/p.git", "file:///srv/git/p.git", ""),
    ],
)  # fmt: skip
def test_a_remote_has_no_login_and_its_page_is_https(tmp_path: Path, remote: str, address: str, page: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert (origin.address(tmp_path), origin.page(tmp_path)) == ("", "")
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", remote], check=True)
    assert (origin.address(tmp_path), origin.page(tmp_path)) == (address, page)
