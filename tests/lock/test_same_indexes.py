"""A build asks the same indexes as lock and sync do, in the same order, with the same logins."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.lock.project import environment
from tests.packageindex import Index, served

from podenv import lock, process
from podenv.catalogue.environment import Environment
from podenv.errors import SettingError
from podenv.lock import indexes

NAMES = ("variable", "extra", "default", "legacy", "values", "one", "user", "userdefault", "system")


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Indexes with one package, whose version says which of them gave it."""
    with ExitStack() as stack:
        made = {}
        for number, name in enumerate(NAMES, start=1):
            index = Index(tmp_path_factory.mktemp(name))
            index.add("probe", f"{number}.0")
            made[name] = stack.enter_context(served(index))
        yield made


def asked_by_a_build(subject: Environment, folder: Path) -> str:
    """What uv resolves with nothing but the configuration that a build gets."""
    config = indexes.for_build(subject, [])
    (folder / "build.toml").write_text(config.toml)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "UV_CONFIG_FILE": str(folder / "build.toml")}
    (folder / "probe.in").write_text("probe\n")
    words = ("pip", "compile", "probe.in", "--no-header", "--no-annotate", "--no-cache", "--quiet")
    return process.run([lock.uv(), *words], cwd=folder, env=environ).stdout.strip()


@pytest.mark.parametrize(
    ("variables", "values", "user", "system"),
    [
        ({"UV_INDEX": "variable"}, "image values", "", ""),
        ({"UV_EXTRA_INDEX_URL": "extra"}, "image values", "", ""),
        ({"UV_EXTRA_INDEX_URL": "extra"}, "indexes one", "", ""),
        ({"UV_EXTRA_INDEX_URL": "extra"}, "", "index user", ""),
        ({"UV_DEFAULT_INDEX": "default"}, "image values", "default userdefault", ""),
        ({"UV_DEFAULT_INDEX": "default"}, "indexes one", "index user", ""),
        ({"UV_INDEX_URL": "legacy"}, "image values", "", ""),
        ({"UV_INDEX_URL": "legacy"}, "", "default userdefault", ""),
        ({}, "image values", "default userdefault", ""),
        ({}, "indexes one", "index user", ""),
        ({}, "image values", "index user", ""),
        ({}, "image values", "extra-index-url user", ""),
        ({}, "", "index-url user", "index system"),
        ({}, "", "default userdefault", "index system"),
        ({}, "image values", "", "default system"),
        ({"UV_INDEX_URL": "legacy", "UV_INDEX": "variable"}, "", "", ""),
        ({"UV_EXTRA_INDEX_URL": "extra", "UV_INDEX": "variable"}, "", "", ""),
        ({"UV_EXTRA_INDEX_URL": "extra"}, "", "extra-index-url user", ""),
        ({"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_INDEX": "variable"}, "image values", "index user", ""),
    ],
)
def test_a_build_takes_a_package_from_the_index_that_gave_it_to_the_lock(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    urls: dict[str, str],
    variables: dict[str, str],
    values: str,
    user: str,
    system: str,
) -> None:
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        place, _, rest = value.partition("/")
        monkeypatch.setenv(name, f"{urls[place]}/{rest}" if place in urls else value)
    for folder, setting in (("user", user), ("system", system)):
        kind, _, which = setting.partition(" ")
        file = tmp_path / folder / "uv" / "uv.toml"
        file.parent.mkdir(parents=True)
        file.write_text(
            {
                "": "",
                "index": f'[[index]]\nurl = "{urls.get(which)}"\n',
                "default": f'[[index]]\nurl = "{urls.get(which)}"\ndefault = true\n',
                "index-url": f'index-url = "{urls.get(which)}"\n',
                "extra-index-url": f'extra-index-url = ["{urls.get(which)}"]\n',
            }[kind]
        )
    kind, _, which = values.partition(" ")
    text = {
        "": "",
        "image": f"image: {{index: '{urls.get(which)}'}}\n",
        "indexes": f"indexes: [{{name: one, url: '{urls.get(which)}'}}]\n",
    }[kind]
    subject = environment(tmp_path, "probe\n", values=text)
    lock.resolve(subject)
    assert asked_by_a_build(subject, tmp_path) == lock.required(subject, ["probe"])[0]


KEYRING = """#!/bin/sh
echo "$@" >> "$0.asked"
case "$*" in
"get http://127.0.0.1:"*) exit 1 ;;
"get 127.0.0.1:"*" reader") echo s3cret-of-the-keyring ;;
*) echo "no such entry" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring program that knows the password of ``reader`` alone."""
    program = tmp_path / "bin" / "keyring"
    program.parent.mkdir()
    program.write_text(KEYRING)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    return program


def test_a_password_in_the_keyring_is_asked_for_here_and_goes_along(
    tmp_path: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path / "index")
    index.add("probe", "1.0")
    with served(index, ("reader", "s3cret-of-the-keyring")) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url.replace("//", "//reader@"))
        subject = environment(tmp_path, "probe\n")
        lock.resolve(subject)
        assert asked_by_a_build(subject, tmp_path) == "probe==1.0"
        assert indexes.for_build(subject, []).secrets == {"s3cret-of-the-keyring"}


def test_a_password_that_the_keyring_does_not_have_is_one_sentence_before_the_build(
    tmp_path: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://somebody@127.0.0.1:9/simple")
    subject = environment(tmp_path, "probe\n")
    with pytest.raises(SettingError) as caught:
        indexes.for_build(subject, [])
    assert str(caught.value) == (
        "The package index at 127.0.0.1:9 needs a password for the user 'somebody' that uv's keyring-provider is to "
        "know: no such entry. A build cannot ask for it; store it with `keyring set 127.0.0.1:9 somebody`, or give it "
        "in a netrc file."
    )
    keyring.unlink()
    monkeypatch.setenv("PATH", str(keyring.parent))
    with pytest.raises(SettingError, match="to know: keyring cannot be started: No such file or directory"):
        indexes.for_build(subject, [])


def test_what_uv_auth_login_has_stored_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CREDENTIALS_DIR", str(tmp_path / "credentials"))
    monkeypatch.setenv("UV_NO_CACHE", "1")
    index = Index(tmp_path / "index")
    index.add("probe", "1.0")
    with served(index, ("reader", "s3cret-of-uv")) as url:
        login = ["auth", "login", url, "--username", "reader", "--password", "s3cret-of-uv"]
        process.run([lock.uv(), *login])
        subject = environment(tmp_path, "probe\n", values=f"image: {{index: '{url}'}}\n")
        monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
        lock.resolve(subject)
        assert asked_by_a_build(subject, tmp_path) == "probe==1.0"
