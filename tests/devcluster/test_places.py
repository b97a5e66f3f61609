from pathlib import Path

import pytest

from devcluster.places import Places, made_whole, write_private


def test_the_places_follow_the_variables() -> None:
    given = Places.from_environment({"PODENV_DEV_CACHE": "/c", "PODENV_DEV_STATE": "/s", "HOME": "/h"})
    assert given == Places(Path("/c"), Path("/s"))
    shared = Places.from_environment({"XDG_CACHE_HOME": "/x", "HOME": "/h"})
    assert shared == Places(Path("/x/podenv/dev-cluster"), Path("/var/lib/podenv-dev-cluster"))
    plain = Places.from_environment({"HOME": "/h"})
    assert plain.cache == Path("/h/.cache/podenv/dev-cluster")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "tools"

    def cut_short() -> None:
        with made_whole(target) as making:
            (making / "half").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        cut_short()
    assert not target.exists()
    with made_whole(target) as making:
        assert list(making.iterdir()) == [], "what a broken run left is gone"
        (making / "whole").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["tools"]
    with made_whole(target) as making:
        (making / "newer").write_text("x")
    assert [path.name for path in target.iterdir()] == ["newer"]


def test_a_private_file_is_private_even_when_it_replaces_an_open_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    write_private(path, "one")
    path.chmod(0o644)
    write_private(path, "two")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)
