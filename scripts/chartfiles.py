"""``scripts/chart``: the files of charts/airflow-env/ that follow from the code."""

from __future__ import annotations

import argparse
import binascii
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import valuekeys
from podenv.call import warm
from podenv.catalogue import values
from podenv.catalogue.spec import json_schema, released

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "charts" / "airflow-env"
_RUNTIME = "files/runtime.txt"


def _schema() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


_README = """\
<!-- This page is written by scripts/chart; edit scripts/chartfiles.py and src/podenv/catalogue/spec/ instead. -->
# {name}

{description}.

`podenv deploy NAME` installs it with the image that it looked up, and with what the image's lock holds. With plain
helm, name the image; the release's name is the environment's:

```console
$ helm upgrade --install etl oci://ghcr.io/acme/{name} --version {version} --namespace podenv-etl --create-namespace \\
    --set-string python=3.13 --set image.registry=ghcr.io/acme,image.digest=sha256:...
```

`podenv values etl` prints the values of an environment for `--values`; `podenv chart push ghcr.io/acme` puts the chart
there. `helm test etl` looks whether the image has the Python and the packages that the values name.

It needs Kubernetes {kubernetes}, no operator and no custom resource. The release holds a PodTemplate, from which tasks'
pods are made; by the values also a service account, Airflow's rights (`access`), a quota, a LimitRange, a
NetworkPolicy, idle pods and pre-pulled images.

## Values

Keys that only podenv's commands and the build read may stand here too, and change nothing; `podenv schema` shows them.
"""


def _readme() -> str:
    """What the chart is, and the values that it reads: key, default, meaning."""
    about, defaults = values.read(FOLDER / "Chart.yaml"), values.read(FOLDER / "values.yaml")
    parts = [_README.format(kubernetes=about["kubeVersion"].removesuffix("-0"), **about)]
    for title, rows in valuekeys.sections():
        cells = [(f"`{key}`", _default(defaults, key) or kind, text) for key, kind, text in rows if _is_read(key)]
        if cells:
            parts += [f"### {title}\n", valuekeys.table(("key", "default, else kind", "meaning"), cells)]
    return "\n".join(parts)


def _is_read(key: str) -> bool:
    """True if the chart reads the key, not only commands and the build."""
    tree: Any = None
    for step in reversed(key.partition("[")[0].split(".")):
        tree = {step: tree}
    return bool(tree == released(tree))


def _default(defaults: Any, key: str) -> str:
    """What values.yaml says of a key; empty for one that it leaves out, or only has keys of."""
    for step in key.split("."):
        if not isinstance(defaults, dict) or step not in defaults:
            return ""
        defaults = defaults[step]
    return "" if isinstance(defaults, dict) and defaults else f"`{json.dumps(defaults)}`"


FILES: dict[str, Callable[[], str]] = {
    "README.md": _readme,
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
