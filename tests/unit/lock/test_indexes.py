import tomllib
from pathlib import Path
from typing import Any

import pytest

from podenv.errors import SettingError
from podenv.lock.indexes import IndexConfig, index_config


def read(config: IndexConfig) -> dict[str, Any]:
    return tomllib.loads(config.toml)


def test_without_settings_uv_is_told_nothing(tmp_path: Path) -> None:
    assert read(index_config("", {"HOME": str(tmp_path)})) == {}


def test_a_variable_goes_before_the_value(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert read(index_config("https://a/simple", home)) == {"index": [{"url": "https://a/simple", "default": True}]}
    chosen = index_config("https://a/simple", {**home, "UV_DEFAULT_INDEX": "https://b/simple"})
    assert read(chosen) == {"index": [{"url": "https://b/simple", "default": True}]}


def test_extra_indexes_keep_their_order_names_and_logins(tmp_path: Path) -> None:
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


def test_logins_come_from_the_netrc_file_too(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine own login me password s3cret\n")
    environ = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    config = index_config("https://own:8080/simple", environ)
    assert read(config)["index"] == [{"url": "https://me:s3cret@own:8080/simple", "default": True}]
    assert config.secrets == {"s3cret"}
    (tmp_path / "netrc").write_text("machine\n")
    with pytest.raises(SettingError, match="netrc cannot be read as a netrc file"):
        index_config("https://own/simple", environ)


def test_the_users_own_configuration_of_uv_is_seen(tmp_path: Path) -> None:
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
    with pytest.raises(SettingError, match=r"^UV_CONFIG_FILE names /nowhere, which is no file"):
        index_config("", {"HOME": str(tmp_path), "UV_CONFIG_FILE": "/nowhere"})
