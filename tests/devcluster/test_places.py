from pathlib import Path

import pytest

from devcluster.errors import DevClusterError
from devcluster.places import Places, made_whole


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


@pytest.mark.parametrize("variable", ["PODENV_DEV_CACHE", "PODENV_DEV_STATE"])
def test_a_folder_that_a_shell_would_not_take_as_it_stands_is_refused(variable: str) -> None:
    with pytest.raises(DevClusterError, match=rf"^{variable}: '/my folder' has a character other than letters, digits"):
        Places.from_environment({"HOME": "/h", variable: "/my folder"})
