"""Values to a store and back: over HTTP that fails, and in a folder."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.exchange.httpstore import SIGNATURE, HttpStore, Trouble, serving

from podenv.runtime.storage import StorageFailed
from podenv.runtime.transfer import get, put

KEY = "xcom/dag/run/task/-1/1/f00d/0"
DATA = bytes(range(256)) * 12_345  # three chunks
DIGEST = hashlib.sha256(DATA).hexdigest()
REFUSED = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message><Resource>/b</Resource></Error>"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def store() -> Iterator[HttpStore]:
    with serving() as started:
        yield started


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "value"
    path.write_bytes(DATA)
    return str(path)


class Pauses(list[float]):
    """Keeps the seconds, and waits for none."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def failure(call: Callable[..., Any], *args: Any, **more: Any) -> tuple[str, str]:
    with pytest.raises(StorageFailed) as raised:
        call(*args, pause=Pauses(), **more)
    assert SIGNATURE not in repr(raised.value)
    return raised.value.code, str(raised.value)


@pytest.mark.parametrize("source", ["file", "bytes"])
def test_a_value_is_put_with_its_length_and_its_headers_and_comes_back(
    store: HttpStore, file: str, tmp_path: Path, source: str
) -> None:
    address = store.address(KEY, **{"x-ms-blob-type": "BlockBlob"})
    assert put(address, file if source == "file" else DATA) == DIGEST
    (_, path, headers) = store.asked[0]
    assert path == f"/{KEY}?X-Signature={SIGNATURE}&X-Expires=60"
    assert (headers["Content-Length"], headers["x-ms-blob-type"]) == (str(len(DATA)), "BlockBlob")
    get(store.address(KEY), str(tmp_path / "got"), len(DATA), DIGEST)
    assert (tmp_path / "got").read_bytes() == DATA
    assert sorted(one.name for one in tmp_path.iterdir()) == ["got", "value"]


def test_an_empty_value_comes_back_empty(store: HttpStore, tmp_path: Path) -> None:
    digest = put(store.address(KEY), b"")
    get(store.address(KEY), str(tmp_path / "got"), 0, digest)
    assert (tmp_path / "got").read_bytes() == b""


@pytest.mark.parametrize(
    "trouble", [Trouble(500), Trouble(503), Trouble(429), Trouble(408), Trouble(cut=1000), Trouble(503, early=True)]
)
def test_what_may_pass_is_tried_again_with_longer_pauses_and_the_whole_value(
    store: HttpStore, file: str, capsys: pytest.CaptureFixture[str], trouble: Trouble
) -> None:
    store.troubles = [trouble] * 3
    pauses = Pauses()
    assert put(store.address(KEY), file, pause=pauses) == DIGEST
    assert store.values == {KEY: DATA}
    assert [int(seconds) for seconds in pauses] == [1, 2, 4]
    log = capsys.readouterr().out
    assert log.count(f"{KEY} is not written yet: ") == 3
    assert SIGNATURE not in log


def test_a_cut_download_is_fetched_again(store: HttpStore, tmp_path: Path) -> None:
    store.values[KEY] = DATA
    store.troubles = [Trouble(cut=1_500_000), Trouble(cut=0)]
    get(store.address(KEY), str(tmp_path / "got"), len(DATA), DIGEST, pause=Pauses())
    assert (tmp_path / "got").read_bytes() == DATA
    assert len(store.asked) == 3


def test_a_full_store_ends_after_five_attempts_with_its_own_words(store: HttpStore, file: str) -> None:
    store.troubles = [Trouble(507, "no room")] * 9
    assert failure(put, store.address(KEY), file) == (
        "retry",
        f"{KEY} could not be written in 5 attempts: the storage says 507 Insufficient Storage: no room; "
        "try again when the storage works",
    )
    assert len(store.asked) == 5
    assert store.values == {}


def test_a_refusal_is_not_tried_again_and_shows_what_the_store_says(store: HttpStore, file: str) -> None:
    store.troubles = [Trouble(403, REFUSED.format("AccessDenied", f"No right for {SIGNATURE}"))]
    assert failure(put, store.address(KEY), file) == (
        "final",
        f"{KEY}: the storage says 403 Forbidden: AccessDenied: No right for ...; see to the storage and its "
        "credentials",
    )
    assert len(store.asked) == 1


def test_a_refusal_before_the_value_was_read_shows_its_words_too(store: HttpStore) -> None:
    store.troubles = [Trouble(403, REFUSED.format("AccessDenied", "No"), early=True)] * 5
    code, message = failure(put, store.address(KEY), b"x" * 300_000)
    assert (code, "403 Forbidden: AccessDenied: No" in message) == ("final", True)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, REFUSED.format("AccessDenied", "Request has expired")),
        (400, REFUSED.format("ExpiredToken", "The provided token is old")),
        (403, REFUSED.format("AuthenticationFailed", "Signature not valid in the specified time frame: Start ...")),
    ],
)
def test_an_address_that_expired_says_so_and_that_another_try_helps(
    store: HttpStore, file: str, status: int, words: str
) -> None:
    store.troubles = [Trouble(status, words)]
    code, message = failure(put, store.address(KEY), file)
    assert code == "retry"
    assert message.startswith(f"{KEY}: the signed address expired while the task ran, another try gets a new one (")


def test_a_bucket_that_is_not_there_is_no_value_that_is_gone(store: HttpStore) -> None:
    store.troubles = [Trouble(404, REFUSED.format("NoSuchBucket", "There is no such bucket"))]
    assert failure(put, store.address(KEY), b"x") == (
        "final",
        f"{KEY}: the storage says 404 Not Found: NoSuchBucket: There is no such bucket; see to the storage and its "
        "credentials",
    )


CHANGED = ("final", f"{KEY}: the file changed while it was sent: close it before the function returns")


@pytest.mark.parametrize("kind", ["http", "folder"])
@pytest.mark.parametrize("file", ["/proc/self/status", "/sys/devices/system/cpu/online"])  # which say 0 and 4096 bytes
def test_a_file_that_is_not_of_its_size_is_refused(store: HttpStore, tmp_path: Path, kind: str, file: str) -> None:
    address = store.address(KEY) if kind == "http" else folder_address(tmp_path)
    assert failure(put, address, file) == CHANGED
    assert store.values == {}
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize("change", [1, -1])
def test_a_file_that_changes_while_it_is_sent_is_never_in_the_store(
    store: HttpStore, tmp_path: Path, change: int
) -> None:
    path, size = tmp_path / "value", 64 * 1024**2  # more than the connection holds
    path.touch()
    os.truncate(path, size)
    store.troubles = [Trouble(meanwhile=lambda: os.truncate(path, size + change))]
    assert failure(put, store.address(KEY), str(path)) == CHANGED
    assert store.values == {}


def test_a_value_that_is_gone_says_what_to_run(store: HttpStore, tmp_path: Path) -> None:
    arguments = (store.address(KEY), str(tmp_path / "got"), 1, DIGEST)
    assert failure(get, *arguments) == (
        "final",
        f"{KEY} is not in the storage any more (the storage says 404 Not Found: NoSuchKey: The key does not exist): "
        "run the task that made it again",
    )


@pytest.mark.parametrize(("kept", "what"), [(DATA[:-1] + b"x", "checksum"), (DATA + b"x", "size"), (DATA[:-1], "size")])
def test_what_is_not_what_was_written_is_refused_and_not_there(
    store: HttpStore, tmp_path: Path, kept: bytes, what: str
) -> None:
    store.values[KEY] = kept
    arguments = (store.address(KEY), str(tmp_path / "got"), len(DATA), DIGEST)
    assert failure(get, *arguments) == (
        "final",
        f"{KEY} is not what was written, its {what} differs: run the task that made it again",
    )
    assert not (tmp_path / "got").exists()


def test_a_store_that_does_not_answer_is_told_apart_from_one_that_is_away(store: HttpStore, file: str) -> None:
    store.troubles = [Trouble(wait=1.0)] * 5
    _, message = failure(put, store.address(KEY), b"x", timeout=0.05)
    assert "the storage does not answer in time" in message
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = {"url": f"http://127.0.0.1:{free.getsockname()[1]}/k?sig={SIGNATURE}", "headers": {}, "key": KEY}
        code, message = failure(put, away, file)
    assert (code, "the connection broke (Connection refused)" in message) == ("retry", True)


@pytest.mark.parametrize("url", ["http://", "http://[::/k?sig=f00d", "https://host:port/k"])
def test_an_address_that_is_none_is_not_shown(url: str) -> None:
    code, message = failure(put, {"url": url, "headers": {}, "key": KEY}, b"x")
    assert (code, message) == ("final", f"{KEY}: the address that came with the call is not valid")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file, which nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "own.pem").write_bytes(private + made.public_bytes(pem))
    return tmp_path / "own.pem"


def test_a_store_behind_a_certificate_that_is_not_trusted_is_refused_until_it_is(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(certificate) as store:
        assert store.url.startswith("https://")
        code, message = failure(put, store.address(KEY), b"x")
        assert code == "final"
        assert "the certificate of the storage is not trusted here (self-signed certificate)" in message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        put(store.address(KEY), b"x")
        assert store.values == {KEY: b"x"}


def test_a_proxy_of_the_environment_variables_is_used(store: HttpStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", store.url.replace("http://", "http://me:pass@"))
    address = {"url": f"http://bucket.example/{KEY}?sig=a", "headers": {}, "key": KEY}
    put(address, b"x", pause=Pauses())
    ((_, path, headers),) = store.asked
    assert path == address["url"]
    assert (headers["Host"], headers["Proxy-Authorization"]) == ("bucket.example", "Basic bWU6cGFzcw==")


# A folder of this machine


def folder_address(tmp_path: Path) -> dict[str, Any]:
    return {"url": (tmp_path / "the store" / KEY).as_uri(), "headers": {}, "key": KEY}


def test_a_folder_keeps_a_value_whole_under_its_key(file: str, tmp_path: Path) -> None:
    address = folder_address(tmp_path)
    assert put(address, file) == DIGEST
    assert [one for one in (tmp_path / "the store").rglob("*") if one.is_file()] == [tmp_path / "the store" / KEY]
    get(address, str(tmp_path / "got"), len(DATA), DIGEST)
    assert (tmp_path / "got").read_bytes() == DATA


def test_a_value_that_is_gone_from_a_folder_says_what_to_run(tmp_path: Path) -> None:
    assert failure(get, folder_address(tmp_path), str(tmp_path / "got"), 1, DIGEST) == (
        "final",
        f"{KEY} is not in the storage any more: run the task that made it again",
    )


def test_a_full_disk_is_said_as_such_and_leaves_nothing(mounted: Callable[[str], Path], file: str) -> None:
    disk = mounted("size=1m")
    address = {"url": (disk / "store" / "0").as_uri(), "headers": {}, "key": KEY}
    assert failure(put, address, file) == (
        "retry",
        f"{KEY} cannot be written: no space is left on the disk, free some",
    )
    assert list((disk / "store").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_by_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    address = {"url": (tmp_path / "store" / "0").as_uri(), "headers": {}, "key": KEY}
    code, message = failure(put, address, b"x")
    assert (code, message) == ("final", f"{KEY} cannot be written: File exists; see to the folder of the storage")


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_under_the_key(tmp_path: Path) -> None:
    address = folder_address(tmp_path)
    program = (
        "import io, sys; from podenv.runtime import transfer; chunks = iter([b'x' * 9999]);\n"
        "def hashed(*_):\n yield from chunks\n print('half', flush=True); sys.stdin.read()\n"
        f"transfer._hashed = hashed; transfer.put({address!r}, b'x' * 99999)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.kill()
    assert not (tmp_path / "the store" / KEY).exists()
    assert [one.suffix for one in (tmp_path / "the store" / KEY).parent.iterdir()] == [".part"]
