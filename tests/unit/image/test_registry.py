import hashlib
import json
import socket
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registryserver import Answer, Asked, basic, serving

from podenv.catalogue.reference import ImageRef
from podenv.errors import RegistryLoginNeeded, RegistryRefused, RegistryUnreachable
from podenv.image.registry import Registries, is_plain

DIGEST = "sha256:" + "ab" * 32
FOUND = Answer(200, {"Docker-Content-Digest": DIGEST})


@pytest.fixture(autouse=True)
def _no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))


def login(tmp_path: Path, host: str, user: str, password: str, **more: str) -> None:
    pair = basic(user, password).removeprefix("Basic ")
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": pair, **more}}}))


def ask(respond: Callable[[Asked], Answer]) -> tuple[str | None, list[Asked]]:
    with serving(respond) as (host, requests):
        return Registries().digest(ImageRef(host, "team/etl", tag="v1")), requests


def test_a_tag_that_is_there_has_its_digest_and_every_kind_of_manifest_is_asked_for() -> None:
    found, requests = ask(lambda asked: FOUND)
    assert found == DIGEST
    (asked,) = requests
    assert (asked.method, asked.path) == ("HEAD", "/v2/team/etl/manifests/v1")
    assert asked.headers["Accept"].split(", ") == [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]


def test_a_404_means_that_it_is_not_there() -> None:
    assert ask(lambda asked: Answer(404))[0] is None


def test_a_registry_that_leaves_the_digest_out_is_asked_for_the_manifest() -> None:
    body = b'{"schemaVersion": 2}'
    found, requests = ask(lambda asked: Answer(200, {}, b"" if asked.method == "HEAD" else body))
    assert found == "sha256:" + hashlib.sha256(body).hexdigest()
    assert [one.method for one in requests] == ["HEAD", "GET"]


@pytest.mark.parametrize(("status", "words"), [(500, "answered 500"), (400, "answered 400"), (403, "refuses to say")])
def test_anything_else_is_an_error_and_never_an_image(status: int, words: str) -> None:
    with pytest.raises(RegistryRefused, match=words):
        ask(lambda asked: Answer(status))


def test_a_busy_registry_is_asked_again_and_then_believed() -> None:
    answers = iter([Answer(429, {"Retry-After": "0"}), Answer(503), FOUND])
    assert ask(lambda asked: next(answers))[0] == DIGEST
    with pytest.raises(RegistryRefused, match=r"answered 429 .*try again in 0 s"):
        ask(lambda asked: Answer(429, {"Retry-After": "0"}))


def test_a_registry_that_is_down_cannot_be_asked() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RegistryUnreachable) as caught:
            Registries().digest(ImageRef(host, "etl", tag="v1"))
    assert str(caught.value).startswith(f"The registry {host} cannot be asked for {host}/etl:v1: ")
    assert "Connection refused" in str(caught.value)


def test_a_name_that_nobody_knows_cannot_be_asked() -> None:
    with pytest.raises(RegistryUnreachable, match=r"cannot be asked for registry\.invalid/etl:v1"):
        Registries().digest(ImageRef("registry.invalid", "etl", tag="v1"))


def test_tls_is_used_but_on_this_machine_and_where_it_is_said() -> None:
    with serving(lambda asked: FOUND) as (host, requests):
        port = host.partition(":")[2]
        elsewhere = ImageRef(f"{socket.gethostname()}:{port}", "etl", tag="v1")
        assert [is_plain(one, ()) for one in (host, "localhost", "[::1]:5000", elsewhere.host)] == [
            True,
            True,
            True,
            False,
        ]
        assert is_plain(elsewhere.host, [elsewhere.host])
        named = ImageRef(f"a.localhost:{port}", "etl", tag="v1")
        with pytest.raises(RegistryUnreachable):
            Registries().digest(named)
        assert requests == []


def test_basic_logins_are_sent_when_asked_for(tmp_path: Path) -> None:
    def respond(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") == basic("me", "s3cret"):
            return FOUND
        return Answer(401, {"WWW-Authenticate": 'Basic realm="here"'})

    with serving(respond) as (host, requests):
        ref = ImageRef(host, "team/etl", tag="v1")
        with pytest.raises(RegistryLoginNeeded, match=f"^{host} wants a login to say whether it has"):
            Registries().digest(ref)
        login(tmp_path, host, "me", "s3cret")
        registries = Registries()
        assert registries.digest(ref) == DIGEST
        before = len(requests)
        assert registries.digest(ref) == DIGEST
        assert len(requests) == before + 1


def bearer(asked: Asked) -> Answer:
    if asked.path.startswith("/token"):
        return Answer(200, {}, b'{"token": "t0ken"}')
    if asked.headers.get("Authorization") == "Bearer t0ken":
        return FOUND
    realm = f"http://{asked.headers['Host']}/token"
    challenge = f'Bearer realm="{realm}",service="the registry",scope="repository:team/etl:pull"'
    return Answer(401, {"WWW-Authenticate": challenge})


def test_a_token_is_fetched_without_a_login_where_that_is_enough() -> None:
    found, requests = ask(bearer)
    assert found == DIGEST
    assert requests[1].path == "/token?" + urllib.parse.urlencode(
        {"service": "the registry", "scope": "repository:team/etl:pull"}
    )
    assert "Authorization" not in requests[1].headers


def test_a_token_is_fetched_with_the_login_that_there_is(tmp_path: Path) -> None:
    with serving(bearer) as (host, requests):
        login(tmp_path, host, "me", "s3cret")
        Registries().digest(ImageRef(host, "team/etl", tag="v1"))
        assert requests[1].headers["Authorization"] == basic("me", "s3cret")
        assert requests[2].headers["Authorization"] == "Bearer t0ken"
        login(tmp_path, host, "00000000", "", identitytoken="refresh-me")
        requests.clear()
        Registries().digest(ImageRef(host, "team/etl", tag="v1"))
        assert requests[1].method == "POST"
        assert urllib.parse.parse_qs(requests[1].body.decode())["refresh_token"] == ["refresh-me"]


def test_a_login_that_the_token_server_refuses_is_not_good_enough(tmp_path: Path) -> None:
    def respond(asked: Asked) -> Answer:
        return Answer(401) if asked.path.startswith("/token") else bearer(asked)

    with serving(respond) as (host, _):
        login(tmp_path, host, "me", "wrong")
        with pytest.raises(RegistryLoginNeeded) as caught:
            Registries().digest(ImageRef(host, "team/etl", tag="v1"))
        assert "wrong" not in str(caught.value).replace("wants", "")


def test_an_expired_token_is_replaced() -> None:
    valid = ["one", "two"]

    def respond(asked: Asked) -> Answer:
        if asked.path.startswith("/token"):
            return Answer(200, {}, json.dumps({"access_token": valid[0]}).encode())
        return FOUND if asked.headers.get("Authorization") == f"Bearer {valid[0]}" else bearer(asked)

    with serving(respond) as (host, _):
        registries = Registries()
        ref = ImageRef(host, "team/etl", tag="v1")
        assert registries.digest(ref) == DIGEST
        valid.pop(0)
        assert registries.digest(ref) == DIGEST


def push(respond: Callable[[Asked], Answer]) -> list[Asked]:
    with serving(respond) as (host, requests):
        Registries().check_push(ImageRef(host, "team/etl", tag="v1"))
    return requests


@pytest.mark.parametrize(
    "place", ["/v2/team/etl/blobs/uploads/1?state=x", "http://HOST/v2/team/etl/blobs/uploads/1?state=x"]
)
def test_an_upload_that_may_begin_is_cancelled_at_once(place: str) -> None:
    def respond(asked: Asked) -> Answer:
        host = asked.headers["Host"]
        return Answer(202, {"Location": place.replace("HOST", host)}) if asked.method == "POST" else Answer(204)

    assert [(one.method, one.path) for one in push(respond)] == [
        ("POST", "/v2/team/etl/blobs/uploads/"),
        ("DELETE", "/v2/team/etl/blobs/uploads/1?state=x"),
    ]


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, RegistryLoginNeeded, "wants a login to take images; run `buildah login"),
        (403, RegistryRefused, "this login may not push there"),
        (405, RegistryRefused, "this login may not push there"),
        (404, RegistryRefused, "answered 404 Not Found to a push to"),
    ],
)
def test_a_registry_that_takes_no_push_says_why(status: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        push(lambda asked: Answer(status))


def test_a_token_that_reads_is_not_used_to_push() -> None:
    def respond(asked: Asked) -> Answer:
        scope = "push" if asked.method in ("POST", "DELETE") else "pull"
        if asked.path.startswith("/token"):
            return Answer(200, {}, json.dumps({"token": urllib.parse.unquote(asked.path)[-4:]}).encode())
        if asked.headers.get("Authorization") != f"Bearer {scope}":
            realm = f"http://{asked.headers['Host']}/token"
            return Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="x",scope="a:{scope}"'})
        return Answer(202, {}) if scope == "push" else FOUND

    with serving(respond) as (host, _):
        registries, ref = Registries(), ImageRef(host, "team/etl", tag="v1")
        assert registries.digest(ref) == DIGEST
        registries.check_push(ref)
        assert registries.digest(ref) == DIGEST


def image(*, platform: str = "linux/amd64", labels: dict[str, str] | None = None) -> Callable[[Asked], Answer]:
    """A registry that has one image, in an index of two platforms."""
    config = json.dumps({"config": {"Labels": labels}}).encode()
    manifest = json.dumps({
        "config": {"digest": "sha256:config"}, "layers": [{"digest": "sha256:a", "size": 7}]
    }).encode()  # fmt: skip
    system, _, machine = platform.partition("/")
    index = json.dumps({
        "manifests": [
            {"digest": "sha256:other", "platform": {"os": "windows", "architecture": "amd64"}},
            {"digest": "sha256:mine", "platform": {"os": system, "architecture": machine}},
        ]
    }).encode()  # fmt: skip
    bodies = {
        "/v2/team/etl/manifests/v1": index,
        "/v2/team/etl/manifests/sha256:mine": manifest,
        "/v2/team/etl/blobs/sha256:config": config,
    }
    return lambda asked: Answer(200, {}, bodies[asked.path]) if asked.path in bodies else Answer(404)


def test_the_manifest_of_an_index_is_that_of_the_platform() -> None:
    with serving(image()) as (host, _):
        ref = ImageRef(host, "team/etl", tag="v1")
        found = Registries().manifest(ref, platform="linux/amd64")
        assert found is not None
        assert found["layers"] == [{"digest": "sha256:a", "size": 7}]
        assert Registries().manifest(ref, platform="linux/arm64") is None
        assert Registries().manifest(ImageRef(host, "team/etl", tag="v2")) is None


def test_an_image_says_its_labels() -> None:
    with serving(image(labels={"a": "b"})) as (host, _):
        ref = ImageRef(host, "team/etl", tag="v1")
        assert Registries().labels(ref, platform="linux/amd64") == {"a": "b"}
        assert Registries().labels(ImageRef(host, "team/etl", tag="v2")) is None
    with serving(image()) as (host, _):
        assert Registries().labels(ImageRef(host, "team/etl", tag="v1"), platform="linux/amd64") == {}


def test_an_answer_that_is_not_json_is_refused() -> None:
    with serving(lambda asked: Answer(200, {}, b"<html>")) as (host, _), pytest.raises(RegistryRefused, match="JSON"):
        Registries().manifest(ImageRef(host, "team/etl", tag="v1"))
