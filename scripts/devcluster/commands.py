"""The command line: parse, call one function, print."""

import argparse
import contextlib
import inspect
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from devcluster import cluster, components, packages, supervisor, tools
from devcluster.airflow.command import add_arguments
from devcluster.airflow.command import run as run_airflow
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run
from devcluster.progress import Progress

ABOUT = f"""\
A real single-node Kubernetes on a bare Debian 12 machine ({cluster.WARNING}).

The first `up` installs Debian packages and builds Kubernetes from Debian's source package, which takes 6 minutes on an
idle machine and 20 on a busy one; the result is kept. Needs root, Python 3.11 and apt; nothing else. Where KUBECONFIG
points to a cluster that answers, none of this is needed.

places:
  PODENV_DEV_CACHE  what took long to make (default: $XDG_CACHE_HOME or ~/.cache, podenv/dev-cluster below it)
  PODENV_DEV_STATE  the cluster itself: keys, data, logs (default: /var/lib/podenv-dev-cluster)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    progress = Progress(sys.stderr if arguments.command == "env" else sys.stdout)
    try:
        return int(arguments.run(Places.from_environment(os.environ), progress, arguments))
    except DevClusterError as error:
        print(f"dev-cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dev-cluster: stopped; run up again to go on, or down to clear away.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    """One command for each of the functions below, whose docstrings are the help."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="dev-cluster", description=ABOUT, formatter_class=raw)
    commands = parser.add_subparsers(required=True, dest="command", metavar="up | down | status | env | airflow")
    made = {}
    for command in (up, down, status, env, airflow):
        text = inspect.cleandoc(command.__doc__ or "")
        short = text.partition("\n")[0].rstrip(".")
        made[command] = commands.add_parser(command.__name__, help=short, description=text, formatter_class=raw)
        made[command].set_defaults(run=command)
    made[down].add_argument("--registry", action="store_true", help="remove the registry's images too")
    add_arguments(made[airflow])
    return parser


def up(places: Places, progress: Progress, _: argparse.Namespace) -> int:
    """Make the cluster run; safe and quick to repeat.

    It has etcd, API server, controllers, scheduler, kubelet, containerd, a network for pods (10.211.0.0/16), a registry
    on 127.0.0.1:5000 with the base images, and a bucket (S3) for the tables and files that tasks hand on, which is
    empty after each start. runit, Debian's supervisor, starts anew what ends. A cluster that is not healthy, or of an
    earlier boot, is taken down and made anew. Everything listens on loopback or on a link of this machine that leads
    nowhere. Pods reach each other, the API server and the outside; there is no cluster DNS, no kube-proxy (of all
    services only `kubernetes` has a working address) and no host ports.
    """
    if other := answering_cluster(places, os.environ):
        progress.say(f"{other}: nothing is needed.")
        progress.say("For a dev cluster nevertheless, point KUBECONFIG to a file that is not there and run up again.")
        return 0
    check_machine()
    with cluster.locked(progress):
        cluster.up(places, progress)
    progress.say(f'\nUse it:  eval "$({shlex.quote(sys.argv[0])} env)"      ({cluster.WARNING})')
    return 0


def down(places: Places, progress: Progress, arguments: argparse.Namespace) -> int:
    """End and remove everything that `up` made.

    These are processes, mounts, link, firewall rules, control groups, a kernel setting, keys and data, and nothing
    else. Kept are the cache and the images in the registry, so that the next `up` is quick.
    """
    check_root()
    with cluster.locked(progress):
        cluster.down(places, progress, registry=arguments.registry)
    return 0


def status(places: Places, _: Progress, __: argparse.Namespace) -> int:
    """Print each part of the cluster: its pid, whether it is healthy, where it listens.

    Exits 1 unless all are healthy.
    """
    check_root()
    pids = supervisor.pids(places)
    if not pids:
        print("no cluster is up; start one with: scripts/dev-cluster up")
        return 1
    healthy = components.healthy(places)
    print(table(pids, healthy))
    return 0 if healthy >= components.ALL.keys() else 1


def env(places: Places, progress: Progress, _: argparse.Namespace) -> int:
    """Print the shell lines that point tools to the cluster; use: eval "$(scripts/dev-cluster env)"."""
    if other := answering_cluster(places, os.environ):
        progress.say(f"{other}: nothing to set.")
    else:
        print(environment(places, os.environ), end="")
    return 0


def airflow(places: Places, progress: Progress, arguments: argparse.Namespace) -> int:
    """Run Airflow in pods of the cluster, as its official chart does.

    An image that podenv builds (Airflow 3.3, the Kubernetes provider, podenv of this checkout), PostgreSQL, API server,
    scheduler, DAG processor and triggerer, with the service accounts and rights that Airflow's official chart makes
    for a release `af` in the namespace `airflow`. dags/ and envs/ of a project come to it as git-sync would bring them.
    It does not deploy the environments: `podenv up` does. Running again brings what has changed and is quick; an
    address is printed where the UI answers, for this machine only. docs/guides/official-chart.md goes through it step
    by step.
    """
    check_root()
    run_airflow(places, progress, arguments)
    return 0


def table(pids: Mapping[str, int], healthy: Set[str]) -> str:
    """What `status` prints."""
    lines = [("component", "pid", "healthy", "listens")]
    for name, listens in components.ALL.items():
        lines.append((name, str(pids.get(name, "-")), "yes" if name in healthy else "no", ", ".join(listens)))
    return "\n".join("{:<11}  {:<7}  {:<7}  {}".format(*line) for line in lines)


def environment(places: Places, environ: Mapping[str, str]) -> str:
    """Lines for the shell; PATH gets helm, kubectl and runc, once."""
    first = str(tools.folder(places))
    others = [folder for folder in environ.get("PATH", "").split(":") if folder not in ("", first)]
    values = {**cluster.variables(places), "PATH": ":".join([first, *others])}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def check_root() -> None:
    """Raise DevClusterError unless this is root: links, mounts and control groups need it."""
    if os.geteuid() != 0:
        raise DevClusterError("the dev cluster needs root (it makes links, mounts and control groups); use sudo.")


def check_machine() -> None:
    """Raise DevClusterError where the dev cluster is known not to work."""
    release: dict[str, str] = {}
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()
    if (release.get("VERSION_CODENAME"), platform.machine()) != (packages.CODENAME, "x86_64"):
        name = f"{release.get('PRETTY_NAME', platform.system())} on {platform.machine()}"
        raise DevClusterError(
            f"the dev cluster is made for Debian 12 on x86_64, and this is {name}; "
            "use kind or any other cluster instead, and point KUBECONFIG to it."
        )
    check_root()


def answering_cluster(places: Places, environ: Mapping[str, str]) -> str | None:
    """Which cluster, if it is not ours, answers by the kubeconfig in force; kind and others write the usual one."""
    named = Path(environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    if named.absolute() == places.kubeconfig or ("KUBECONFIG" not in environ and not named.exists()):
        return None
    path = {"PATH": f"{environ.get('PATH', '')}:{tools.folder(places)}"}
    server = ["--minify", "--output", "jsonpath={.clusters[0].cluster.server}"]
    with contextlib.suppress(DevClusterError):
        run(["kubectl", "--request-timeout=5s", "get", "--raw", "/version"], env=path)
        return f"A cluster answers at {run(['kubectl', 'config', 'view', *server], env=path)} already ({named})"
    return None
