"""``scripts/chart``: the files of charts/airflow-env/ that follow from the code."""

from __future__ import annotations

import argparse
import binascii
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from podenv.call import warm
from podenv.catalogue.spec import json_schema

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "charts" / "airflow-env"
_RUNTIME = "files/runtime.txt"


def _schema() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


FILES: dict[str, Callable[[], str]] = {
    "values.schema.json": _schema,
    "files/loader.txt": warm.loader,
    _RUNTIME: lambda: f"{warm.runtime()}\n",
}


def stale() -> list[str]:
    """The files that are not what the code says."""
    return [name for name, write in FILES.items() if _read(FOLDER / name) != _plain(name, write())]


def _read(file: Path) -> str | None:
    return _plain(file.relative_to(FOLDER).as_posix(), file.read_text(encoding="utf-8")) if file.exists() else None


def _plain(name: str, text: str) -> str:
    """The text to compare: zlib of another version may compress the runtime to other bytes."""
    return zlib.decompress(binascii.a2b_base64(text)).decode() if name == _RUNTIME else text


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that are stale")
    if parser.parse_args().check:
        old = stale()
        sys.exit(f"stale: {', '.join(old)}; run scripts/chart." if old else 0)
    for name, write in FILES.items():
        if _read(FOLDER / name) != _plain(name, text := write()):
            (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
