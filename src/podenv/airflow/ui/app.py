"""The pages over HTTP, as a part of Airflow's API server: who may see what, and nothing but GET.

Airflow authenticates nothing in an app that a plugin mounts: each route asks its auth manager itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api import security
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    requires_access_dag,
    requires_access_view,
)
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException as AnyHTTPException

from podenv.airflow.ui import data, known, pages, releases
from podenv.airflow.ui.data import Use

_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CHANGES = 10  # between two releases each, of one environment
_RUNS = 50  # of one environment, and of one task
_DRAWN = 300  # of one environment: those that its chart is drawn from
_templates = Environment(
    loader=PackageLoader("podenv.airflow.ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_templates.globals.update(
    bars=pages.bars, height=pages.HEIGHT, width=pages.WIDTH, days=data.DAYS, most=pages.MOST_MARKS
)
_templates.filters.update(path=lambda text: quote(str(text), safe=""), query=urlencode)

_releases = releases.Releases()


def _plain(request: Request) -> None:
    """Refuse an address that nothing can have: PostgreSQL takes no text with a NUL."""
    if any("\0" in value for value in request.path_params.values()):
        raise HTTPException(404, "There is nothing at this address.")


router = APIRouter(dependencies=[Depends(requires_access_view(AccessView.WEBSITE)), Depends(_plain)])
_of_dag = [Depends(requires_access_dag("GET"))]
_of_task = [Depends(requires_access_dag("GET", DagAccessEntity.TASK))]
_of_run = [Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))]


def create() -> FastAPI:
    """The app, to be mounted by Airflow."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Airflow's own looks into the state of the app that is asked, which is this one; 3.1 has no function for it.
    theirs = getattr(security, "auth_manager_from_app", None)
    if theirs is not None:
        app.dependency_overrides[theirs] = get_auth_manager
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.middleware("http")(_secured)
    return app


@router.get("/", response_class=HTMLResponse)
def environments(
    request: Request,
    session: SessionDep,
    user: GetUserDep,
    q: Annotated[str, Query(max_length=200)] = "",
    sort: str = "name",
    page: int = 1,
) -> Response:
    """The list of environments."""
    today = datetime.now(UTC).date()
    sources = pages.Sources(
        known.names(),
        data.uses(session, _readable(user)),
        known.facts,
        lambda keys: data.totals(session, keys, today),
        lambda keys: data.counts(session, keys, today),
    )
    listing = pages.listing(sources, query=q, sort=sort if sort in pages.SORTS else "name", number=page)
    return _page(request, "environments", title="Environments", listing=listing, sorts=pages.SORTS)


@router.get("/env/{name:path}", response_class=HTMLResponse)
def environment(
    request: Request,
    session: SessionDep,
    user: GetUserDep,
    name: str,
    q: Annotated[str, Query(max_length=200)] = "",
    before: int = 0,
    after: int = 0,
) -> Response:
    """One environment."""
    uses = [use for use in data.uses(session, _readable(user)) if use.environment == name]
    facts = known.facts([name]).get(name)
    if facts is None and not uses:
        raise HTTPException(404, f"There is no environment {name!r} that you may see.")
    runs = [pages.execution(run) for run in data.runs(session, [use.key for use in uses], _DRAWN)]
    packages = [] if facts is None else [one for one in facts.packages.items() if q.casefold() in one[0]]
    return _page(
        request, "environment", title=name, name=name, facts=facts, uses=uses, query=q, packages=packages,
        runs=runs[:_RUNS], marks=pages.marks(runs), compared={"before": before, "after": after},
    )  # fmt: skip


@router.get("/releases")
def deployed(name: Annotated[list[str], Query(max_length=pages.PAGE)]) -> dict[str, Any]:
    """How environments of the list are deployed, for its script; those that are in no catalogue are left out."""
    found = _releases.survey(_places(name))
    return {
        one: {
            "revision": "" if state.release is None else str(state.release.revision),
            "image": "" if state.release is None else state.release.image,
            "health": state.words,
            "why": state.unknown,
        }
        for one, state in found.items()
    }


@router.get("/releases/{name:path}", response_class=HTMLResponse)
def history(request: Request, name: str, before: int = 0, after: int = 0) -> Response:
    """The releases of one environment, a part of its page; two of them beside each other where they are named."""
    places = _places([name])
    if not places:
        raise HTTPException(404, f"There is no environment {name!r} on this machine.")
    state, found = _releases.survey(places)[name], _releases.history(name, places[name])
    records = {} if isinstance(found, str) else {one.revision: one for one in found}
    numbers = sorted(records)
    pairs = [(before, after)] if before in records and after in records else list(pairwise(numbers))
    changes = [releases.change(records[one], records[other]) for one, other in reversed(pairs)][:_CHANGES]
    return _page(
        request, "releases", title=name, name=name, state=state, changes=changes, before=before, after=after,
        releases=[releases.release(records[number]) for number in reversed(numbers)],
        problem=found if isinstance(found, str) else "",
    )  # fmt: skip


@router.get("/dag/{dag_id}", response_class=HTMLResponse, dependencies=_of_dag)
def dag(request: Request, session: SessionDep, dag_id: str) -> Response:
    """The environments of a DAG's tasks."""
    uses = data.uses(session, [dag_id])
    facts = known.facts({use.environment for use in uses})
    counts = data.counts(session, {use.key for use in uses}, datetime.now(UTC).date())
    return _page(
        request, "dag", title=f"Environments of {dag_id}", dag_id=dag_id, uses=uses, facts=facts,
        counts={use.task_id: counts.get(use.key, data.Count()) for use in uses},
    )  # fmt: skip


@router.get("/task/{dag_id}/{task_id}", response_class=HTMLResponse, dependencies=_of_task)
def task(request: Request, session: SessionDep, dag_id: str, task_id: str) -> Response:
    """What a task runs in, and its runs."""
    use = _use(data.uses(session, [dag_id]), task_id)
    runs = [] if use is None else [pages.execution(run) for run in data.runs(session, [use.key], _RUNS)]
    return _page(request, "task", title=task_id, use=use, facts=_facts_of(use), runs=runs)


@router.get("/run/{dag_id}/{run_id:path}/{task_id}/{map_index}", response_class=HTMLResponse, dependencies=_of_run)
def run(request: Request, session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: str) -> Response:
    """What one execution ran in and used, and why it failed."""
    # A task that is not mapped sends the placeholder itself. A database's numbers have at most ten digits.
    index = int(map_index) if map_index.isdecimal() and len(map_index) < 10 else -1
    found = data.run(session, dag_id, run_id, task_id, index)
    use = _use(data.uses(session, [dag_id]), task_id)
    execution = None if found is None else pages.execution(found)
    return _page(request, "run", title=task_id, use=use, facts=_facts_of(use), execution=execution)


def _use(uses: Collection[Use], task_id: str) -> Use | None:
    return next((use for use in uses if use.task_id == task_id), None)


def _facts_of(use: Use | None) -> known.Facts | None:
    return None if use is None else known.facts([use.environment]).get(use.environment)


def _places(names: Collection[str]) -> dict[str, releases.Place]:
    return {name: releases.Place(one.connection, one.namespace) for name, one in known.facts(names).items()}


def _readable(user: Any) -> set[str]:
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


def _page(request: Request, template: str, /, *, status: int = 200, **shown: Any) -> Response:
    root = str(request.scope.get("root_path", ""))
    return HTMLResponse(_templates.get_template(f"{template}.html").render(root=root, **shown), status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    words = {
        401: "You are not logged in, or no longer. Reload the page to log in.",
        403: "You may not see this. Ask an administrator of this Airflow for the right to read it.",
    }
    said = words.get(error.status_code, str(error.detail))
    return _page(request, "refused", status=error.status_code, title="Environments", said=said)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    return await _refused(request, HTTPException(422, f"This address is not valid. {said}."))


async def _secured(request: Request, call_next: Callable[[Request], Any]) -> Response:
    response: Response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
