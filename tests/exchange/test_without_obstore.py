"""A bucket without the extra ``exchange``: what is missing is said, and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from podenv.errors import SettingError
from podenv.exchange.address import parse
from podenv.exchange.store import Store


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.ticket("a/b", lifetime=timedelta(hours=1), readable={}),
        lambda store: list(store.entries()),
        lambda store: store.delete(["a/b/0"]),
    ],
    ids=["sign", "list", "delete"],
)
def test_a_bucket_without_its_library_names_the_extra(
    use: Callable[[Store], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("obstore", "obstore.store", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    said = "The store s3://bucket/podenv needs the package obstore; install podenv[exchange] where tasks are started."
    with pytest.raises(SettingError, match=f"^{re.escape(said)}$"):
        use(Store(parse("s3://bucket/podenv", "x"), {}))
