import base64
import json
from pathlib import Path

from podenv.image import credentials
from podenv.image.credentials import Login


def encoded(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def test_files_are_read_in_the_order_of_podman_and_docker(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert credentials.find("r.example", "etl", environ) is None
    write(tmp_path / ".docker" / "config.json", {"auths": {"https://r.example/v2/": encoded("docker", "1")}})
    assert credentials.find("r.example", "etl", environ) == Login("docker", "1")
    write(tmp_path / ".config" / "containers" / "auth.json", {"auths": {"r.example": encoded("config", "2")}})
    assert credentials.find("r.example", "etl", environ) == Login("config", "2")
    write(tmp_path / "run" / "containers" / "auth.json", {"auths": {"r.example": encoded("run", "3")}})
    assert credentials.find("r.example", "etl", environ) == Login("run", "3")
    write(tmp_path / "chosen.json", {})
    assert (
        credentials.find("r.example", "etl", {**environ, "REGISTRY_AUTH_FILE": str(tmp_path / "chosen.json")}) is None
    )


def test_the_login_of_the_longest_name_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"auths": {"r.example": encoded("all", "1"), "r.example/team": encoded("team", "p:2")}})
    environ = {"REGISTRY_AUTH_FILE": str(tmp_path / "a.json")}
    assert credentials.find("r.example", "team/etl", environ) == Login("team", "p:2")
    assert credentials.find("r.example", "teams/etl", environ) == Login("all", "1")
    assert credentials.find("other.example", "team/etl", environ) is None


def test_docker_hub_is_known_by_all_its_names(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"auths": {"https://index.docker.io/v1/": encoded("hub", "1")}})
    assert credentials.find("docker.io", "library/python", {"REGISTRY_AUTH_FILE": str(tmp_path / "a.json")}) == Login(
        "hub", "1"
    )


def test_a_secret_is_in_no_representation() -> None:
    assert repr(Login("me", "s3cret")) == "Login(user='me')"
