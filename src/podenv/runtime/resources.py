"""The data files of a package that travelled, for `importlib.resources`: in memory, as an archive."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Reader:
    """What `importlib.resources` asks for the ``files`` of ``package``, from Python 3.8 on."""

    def __init__(self, files: dict[str, bytes], package: str) -> None:
        self._files = files
        self._name = package.rpartition(".")[2]

    def files(self) -> Any:
        import zipfile

        return zipfile.Path(archive(self._files, "", self._name), self._name + "/")

    def open_resource(self, resource: str) -> Any:
        import io

        if resource not in self._files:
            raise FileNotFoundError(2, "This file did not travel", resource)
        return io.BytesIO(self._files[resource])

    def resource_path(self, resource: str) -> str:
        raise FileNotFoundError(2, "This file is in memory only", resource)

    def is_resource(self, name: str) -> bool:
        return name in self._files

    def contents(self) -> Iterator[str]:
        return iter(sorted({path.partition("/")[0] for path in self._files}))


def archive(files: dict[str, bytes], folder: str, name: str) -> Any:
    """An archive of ``files`` below ``name``, which passes for one at the path ``folder``: Python 3.9 compares them."""
    import io
    import zipfile  # loaded when a function asks for a data file

    class Archive(zipfile.ZipFile):
        def __fspath__(self) -> str:
            return folder

    made = Archive(io.BytesIO(), "w")
    made.writestr(name + "/", b"")
    for path, content in files.items():
        made.writestr(name + "/" + path, content)
    return made
