"""`podenv rights`."""

from __future__ import annotations

from typing import Annotated

import typer

from podenv.catalogue.values import dump
from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen
from podenv.cli.target import DEFAULT_PREFIX, Prefix, releases
from podenv.release import rights as needs
from podenv.release.cluster import Json

_Who = list[str] | None


def rights(
    names: Names = None,
    service_account: Annotated[
        _Who, typer.Option("--service-account", metavar="NAMESPACE/NAME", help="Who gets the rights, like ci/deployer.")
    ] = None,
    group: Annotated[_Who, typer.Option("--group", metavar="NAME", help="A group that gets the rights.")] = None,
    user: Annotated[_Who, typer.Option("--user", metavar="NAME", help="A user who gets the rights.")] = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Print the namespaces and rights that a deploy needs.

    An administrator applies them: for each environment its namespace, under Pod Security "restricted", and a Role there
    with the rights of podenv deploy, status, test, rollback and uninstall, bound to those who are named. It needs
    neither a cluster nor an image.
    A team with these rights needs no right outside its namespaces.

    \b
    Example:  podenv rights --group team-a | kubectl apply -f -
              podenv rights model-training --service-account ci/deployer
    """
    subjects = [
        *(_account(one) for one in service_account or ()),
        *(needs.subject("Group", one) for one in group or ()),
        *(needs.subject("User", one) for one in user or ()),
    ]
    if not subjects:
        raise typer.BadParameter("say who gets the rights: --service-account NAMESPACE/NAME, --group or --user.")
    catalogue, chosen_names = chosen(names)
    environments = [catalogue[name] for name in chosen_names]
    places = releases(None, None, namespace_prefix).places(environments)
    for one in environments:
        if kinds := sorted({item.kind for item in one.spec.extra_objects}):
            output.say(
                f"warning: {one.name}: its extraObjects ({', '.join(kinds)}) need rights of their own; add them.",
                stderr=True,
            )
    made = needs.preparation(places, {one.name: needs.needed(one) for one in environments}, subjects)
    if json:
        output.as_json(made)
    else:
        output.text("".join(f"---\n{dump(item)}" for item in made))


def _account(text: str) -> Json:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise typer.BadParameter(f"{text!r} is not a service account; write it like ci/deployer: NAMESPACE/NAME.")
    return needs.subject("ServiceAccount", name, namespace)
