"""``scripts/bench NAME...``: run benchmarks by the name of their module."""

from __future__ import annotations

import argparse
import importlib
import sys

NAMES = {
    "local": "local environments: a warm task, the parse of 500 tasks, the import of podenv (needs no cluster)",
    "check": "podenv check: 500 tasks in 50 environments unchanged, 50 tasks cold (needs PyPI, or uv's cache)",
    "run": "`podenv run` beside `airflow dags test` (needs no cluster)",
    "exchange": "100 MB from pandas to polars, beside the tasks' own Parquet, and pickle (needs PyPI, or uv's cache)",
    "page": "the page in Airflow's UI with 500 environments, beside Airflow's own lists (needs no cluster)",
    "pods": "tasks as pods, beside @task.kubernetes and a bare pod (needs a cluster and a registry)",
    "warm": "tasks that take an idle pod, beside new pods and @task.kubernetes (needs a cluster and a registry)",
    "room": "200 tasks that wait for room: what they ask of the API server (needs a cluster)",
    "images": "an unchanged build of 50 environments whose images are there (needs a registry on this machine)",
    "layers": "pull and unpack of an image with zstd layers, beside gzip (needs a registry and containerd here)",
    "deploy": "a deploy of 20 environments, unchanged and all changed (needs a cluster and a registry)",
}


def main() -> int:
    """Exit code 0 when every ratio is what the project claims, else 1."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Compare podenv with its peers in one run; ratios are printed and written to bench-results/.",
        epilog="\n".join(f"{name}: {what}" for name, what in NAMES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME", help=f"one of: {', '.join(NAMES)}")
    kept = [importlib.import_module(f"benchmarks.{name}").main() for name in parser.parse_args().names]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
