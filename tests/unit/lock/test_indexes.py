import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import SettingError, ValuesError
from podenv.lock.indexes import IndexConfig, for_build


def environment(root: Path, values: str = "") -> Environment:
    folder = root / "envs" / "etl"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "3.11"\n{values}')
    return Catalogue(root / "envs")["etl"]


@pytest.fixture
def index_config(tmp_path: Path) -> Any:
    """The build's indexes where ``image.index`` is the first argument."""

    def config(default: str, environ: Mapping[str, str]) -> IndexConfig:
        # No settings of this machine: they would be read too.
        environ = {"XDG_CONFIG_DIRS": str(tmp_path / "none"), **environ}
        return for_build(environment(tmp_path, f"image: {{index: '{default}'}}\n"), [], environ)

    return config


def read(config: IndexConfig) -> dict[str, Any]:
    return tomllib.loads(config.toml)


def test_without_settings_uv_is_told_nothing(tmp_path: Path, index_config: Any) -> None:
    assert read(index_config("", {"HOME": str(tmp_path)})) == {}


def test_a_variable_goes_before_the_value(tmp_path: Path, index_config: Any) -> None:
    home = {"HOME": str(tmp_path)}
    assert read(index_config("https://a/simple", home)) == {"index": [{"url": "https://a/simple", "default": True}]}
    chosen = index_config("https://a/simple", {**home, "UV_DEFAULT_INDEX": "https://b/simple"})
    assert read(chosen) == {"index": [{"url": "https://b/simple", "default": True}]}


def test_extra_indexes_keep_their_order_names_and_logins(tmp_path: Path, index_config: Any) -> None:
    environ = {
        "HOME": str(tmp_path),
        "UV_INDEX": "own-index=https://own/simple https://x/simple?a=b",
        "UV_INDEX_OWN_INDEX_USERNAME": "me",
        "UV_INDEX_OWN_INDEX_PASSWORD": "p@ss/1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "own x",
    }
    config = index_config("", environ)
    assert read(config) == {
        "index-strategy": "unsafe-best-match",
        "allow-insecure-host": ["own", "x"],
        "index": [{"name": "own-index", "url": "https://me:p%40ss%2F1@own/simple"}, {"url": "https://x/simple?a=b"}],
    }
    assert config.secrets == {"p@ss/1", "p%40ss%2F1"}
    assert "p%40ss" not in repr(config)


def test_logins_come_from_the_netrc_file_too(tmp_path: Path, index_config: Any) -> None:
    (tmp_path / "netrc").write_text("machine own login me password s3cret\n")
    environ = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    config = index_config("https://own:8080/simple", environ)
    assert read(config)["index"] == [{"url": "https://me:s3cret@own:8080/simple", "default": True}]
    assert config.secrets == {"s3cret"}
    (tmp_path / "netrc").write_text("machine\n")
    with pytest.raises(SettingError, match="netrc cannot be read as a netrc file"):
        index_config("https://own/simple", environ)


def test_the_users_own_configuration_of_uv_is_seen(tmp_path: Path, index_config: Any) -> None:
    file = tmp_path / "uv" / "uv.toml"
    file.parent.mkdir()
    file.write_text(
        '[[index]]\nurl = "https://d/simple"\ndefault = true\n[[index]]\nname = "e"\nurl = "https://e/simple"\n'
    )
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert read(index_config("", environ)) == {
        "index": [{"name": "e", "url": "https://e/simple"}, {"url": "https://d/simple", "default": True}]
    }
    file.write_text("[[")
    with pytest.raises(SettingError, match=r"uv\.toml cannot be read as uv's configuration"):
        index_config("", environ)
    with pytest.raises(SettingError, match=r"^UV_CONFIG_FILE names /nowhere, which is not a file"):
        index_config("", {"HOME": str(tmp_path), "UV_CONFIG_FILE": "/nowhere"})


def test_all_that_uv_is_told_of_an_index_goes_along(tmp_path: Path, index_config: Any) -> None:
    file = tmp_path / "uv.toml"
    file.write_text(
        'keyring-provider = "disabled"\nfind-links = ["https://me:s3cret@links/page"]\nhttp-proxy = "http://u:pw@proxy:1"\n'
        '[[index]]\nname = "pytorch"\nurl = "https://p/simple"\nexplicit = true\nauthenticate = "always"\n'
        'ignore-error-codes = [403]\npublish-url = "https://p/upload"\ncache-control = { api = "max-age=600" }\n'
        '[[index]]\nurl = "https://flat/"\nformat = "flat"\n'
    )
    environ = {"HOME": str(tmp_path), "UV_CONFIG_FILE": str(file)}
    config = index_config("https://own/simple", environ)
    assert config.secrets == {"s3cret", "pw"}
    assert read(config) == {
        "find-links": ["https://me:s3cret@links/page"],
        "http-proxy": "http://u:pw@proxy:1",
        "index": [
            {
                "name": "pytorch",
                "url": "https://p/simple",
                "explicit": True,
                "authenticate": "always",
                "ignore-error-codes": [403],
                "cache-control": {"api": "max-age=600"},
            },
            {"url": "https://flat/", "format": "flat"},
            {"url": "https://own/simple", "default": True},
        ],
    }


def test_the_values_indexes_come_between_variables_and_the_users_own_with_their_packages(tmp_path: Path) -> None:
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text(
        '[[index]]\nname = "torch"\nurl = "https://other/"\n[[index]]\nname = "u"\nurl = "https://user/"\n'
    )
    subject = environment(
        tmp_path,
        "indexes: [{name: torch, url: 'https://t/cpu', packages: [torch, Torch_Vision]}, {name: a, url: 'https://a'}]\n",
    )
    environ = {
        "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none"),
        "UV_INDEX": "https://first/", "UV_INDEX_TORCH_USERNAME": "me", "UV_INDEX_TORCH_PASSWORD": "s3cret",
    }  # fmt: skip
    config = for_build(subject, ["torch==2.0+cpu ; sys_platform == 'linux'"], environ)
    torch = {"name": "torch", "url": "https://me:s3cret@t/cpu", "explicit": True}
    assert read(config)["index"] == [
        {"url": "https://first/"},
        torch,
        {"name": "a", "url": "https://a"},
        {"name": "u", "url": "https://user/"},
    ]
    assert tomllib.loads(config.pins) == {
        "project": {
            "name": "podenv-indexes",
            "version": "0",
            "dependencies": ["torch==2.0+cpu ; sys_platform == 'linux'"],
        },
        "tool": {
            "uv": {"sources": {"torch": [{"index": "torch"}], "torch-vision": [{"index": "torch"}]}, "index": [torch]}
        },
    }
    assert config.secrets == {"s3cret"}
    assert for_build(subject, [], environ).pins == ""


def test_a_token_in_place_of_a_user_is_kept_out_of_logs(tmp_path: Path, index_config: Any) -> None:
    config = index_config("", {"HOME": str(tmp_path), "UV_DEFAULT_INDEX": "https://t0ken@own/simple"})
    assert read(config)["index"] == [{"url": "https://t0ken@own/simple", "default": True}]
    assert config.secrets == {"t0ken"}


def test_an_index_in_a_folder_of_this_machine_is_refused_before_the_build(tmp_path: Path, index_config: Any) -> None:
    for variable in ("UV_DEFAULT_INDEX", "UV_FIND_LINKS"):
        with pytest.raises(SettingError) as caught:
            index_config("", {"HOME": str(tmp_path), variable: "file:///srv/wheels"})
        assert str(caught.value) == (
            "The package index file:///srv/wheels is a folder of this machine, which a build does not see; serve it by "
            "http, or name another index for the build."
        )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("[{name: a, url: 'https://a'}, {name: A, url: 'https://b'}]", "two of them are called a"),
        (
            "[{name: a, url: 'https://a', packages: [x_y]}, {name: b, url: 'https://b', packages: [X.Y]}]",
            "X.Y comes from a and from b; take it out of one of them.",
        ),
        ("[{name: a, url: 'https://u:s3cret@a/'}]", "'https://***@a/' holds credentials"),
        ("[{name: a, url: 'file:///srv'}]", "is not a valid package index; write it like"),
        ("[{name: a}]", "indexes.0.url: it is missing"),
    ],
)
def test_indexes_that_cannot_be_used_are_refused_with_file_and_key(tmp_path: Path, values: str, why: str) -> None:
    with pytest.raises(ValuesError) as caught:
        environment(tmp_path, f"indexes: {values}\n")
    assert why in str(caught.value)
    assert "values.yaml: indexes" in str(caught.value)
    assert "s3cret" not in str(caught.value)
