"""Options that commands on a cluster share: which cluster, which namespaces, and whether to ask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podenv.catalogue.names import NAMESPACE_PREFIX, PREFIX_VARIABLES

if TYPE_CHECKING:
    from podenv.release import Releases
    from podenv.release.clusters import Clusters


def _prefix(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    # The catalogue needs it for `{namespace}` in the defaults.
    source = context.get_parameter_source(parameter.name or "")
    if source is not None and source.name == "COMMANDLINE":
        os.environ[PREFIX_VARIABLES[0]] = value
    return value


Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Context of the kubeconfig, for all environments. Default: cluster.context of the "
        "values, else its current one.",
    ),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", exists=True, dir_okay=False, help="Default: KUBECONFIG."),
]
Prefix = Annotated[
    str,
    typer.Option(
        "--namespace-prefix",
        metavar="TEXT",
        envvar=list(PREFIX_VARIABLES),
        callback=_prefix,
        help="What the namespaces of environments begin with.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DEFAULT_PREFIX = NAMESPACE_PREFIX


def releases(context: str | None, kubeconfig: Path | None, prefix: str) -> Releases:
    """The releases in the cluster that the options name."""
    # Loaded when it is used: `podenv check` has the same options, and most often asks no cluster.
    from podenv.release import Releases, Target

    return Releases(Target(kubeconfig, context, prefix))


def clusters(context: str | None, kubeconfig: Path | None, prefix: str) -> Clusters:
    """The releases in the clusters of the environments, or in the one that the options name."""
    from podenv.release import Target
    from podenv.release.clusters import Clusters

    return Clusters(Target(kubeconfig, context, prefix))
