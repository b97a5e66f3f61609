"""`podenv lock` and `podenv outdated` with a registry that moves its tag."""

from pathlib import Path
from typing import Any

from tests.packageindex import Index, served
from tests.registryserver import Answer, Asked, serving

ONE, OTHER = "sha256:" + "12" * 32, "sha256:" + "34" * 32


def test_lock_pins_the_base_image_outdated_sees_it_move_and_upgrade_takes_it(podenv: Any, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.add("alpha", "1.0")
    now = [ONE]

    def respond(asked: Asked) -> Answer:
        return Answer(200, {"Docker-Content-Digest": now[0]})

    folder = tmp_path / "envs" / "etl"
    folder.mkdir(parents=True)
    (folder / "requirements.in").write_text("alpha\n")
    with served(index) as address, serving(respond) as (host, requests):
        (folder / "values.yaml").write_text(f'python: "3.13"\nimage: {{base: "{host}/base:{{python}}"}}\n')
        settings = {"UV_DEFAULT_INDEX": address, "UV_CACHE_DIR": str(tmp_path / "uv"), "PODENV_BASE_IMAGE": ""}
        assert "etl: locked, 1 package, base image pinned" in podenv("lock", **settings).stdout
        pinned = (folder / "base.lock").read_text()
        assert pinned.splitlines()[-1] == f"{host}/base:3.13@{ONE}"
        asked = len(requests)
        assert podenv("lock", **settings).stdout.startswith("etl: unchanged")
        podenv("lock", "--check", **settings)
        assert len(requests) == asked  # a pin that fits asks nobody
        now[0] = OTHER
        said = podenv("outdated", **settings).stdout
        assert f"its base image {host}/base:3.13 is another one now ({ONE[7:19]} -> {OTHER[7:19]});" in said
        assert "`podenv lock etl --upgrade` takes it." in said
        podenv("lock", "--upgrade", **settings)
    assert (folder / "base.lock").read_text() == pinned.replace(ONE, OTHER)
    with served(index) as address:
        away = podenv("lock", "--upgrade", **{**settings, "UV_DEFAULT_INDEX": address})
    assert "warning: etl: the base image stays at the digest in base.lock: The registry" in away.stderr
    (folder / "values.yaml").write_text('python: "3.12"\n')
    wrong = podenv("lock", "--check", exit_code=1)
    assert "the values ask for" in wrong.stderr
