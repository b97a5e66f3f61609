"""Shared by all tests: what needs a cluster says so when there is none."""

import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests import bucket  # noqa: F401 - it takes the bucket out of the environment
from tests.packageindex import Index

# Airflow and the tests are a million objects that stay: to look through them again and again took a third of the time
# of the collection.
gc.set_threshold(100_000, 50, 1000)
# A busy machine takes longer for an example than Hypothesis allows.
settings.register_profile("podenv", deadline=None)
settings.load_profile("podenv")
# Tests that were started in the background ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Of all that the tests install they import little.
os.environ["UV_COMPILE_BYTECODE"] = "0"


def missing_for_cluster_tests() -> str | None:
    """What the cluster tests lack; None when they can run."""
    # Imported here: the tests that need no cluster need not wait for it.
    from kubernetes import client, config
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        api = config.new_client_from_config()
    except ConfigException as error:
        return f"no kubeconfig: {error}"
    try:
        client.VersionApi(api).get_code(_request_timeout=5)
    except (client.ApiException, HTTPError) as error:
        return f"the cluster of the kubeconfig does not answer: {type(error).__name__}"
    finally:
        api.rest_client.pool_manager.clear()  # close() leaves its sockets open (seen with version 36)
    if not os.environ.get("PODENV_REGISTRY"):
        return "no registry: PODENV_REGISTRY is not set"
    return None


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of all tests that build virtual environments and ask for none of their own, in both processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODENV_CACHE", str(folder))
        patch.setenv("UV_HTTP_RETRIES", "0")
        patch.delenv("PODENV_CATALOGUE", raising=False)
        patch.delenv("PODENV_BACKEND", raising=False)
        yield folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An empty index, the only one that uv sees."""
    made = Index(tmp_path / "index")
    monkeypatch.setenv("UV_DEFAULT_INDEX", made.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return made


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with the options given; skips where mounting is not permitted."""
    points: list[Path] = []

    def mount(options: str) -> Path:
        point = tmp_path / f"mount{len(points)}"
        point.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", point], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting a tmpfs is not permitted here: {done.stderr.strip()}")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", "--lazy", point], check=True)


@pytest.fixture
def _sigterm() -> Iterator[None]:
    """Airflow leaves a signal handler of its own behind."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def _cluster() -> None:
    missing = missing_for_cluster_tests()
    if missing is None:
        return
    remedy = 'On Debian as root: scripts/dev-cluster up && eval "$(scripts/dev-cluster env)"'
    if os.environ.get("PODENV_REQUIRE_CLUSTER") == "1":
        pytest.fail(f"PODENV_REQUIRE_CLUSTER=1, but {missing}. {remedy}", pytrace=False)
    pytest.skip(f"needs a cluster: {missing}. {remedy}")


@pytest.fixture(scope="session")
def _devcluster() -> None:
    from devcluster.places import Places

    kubeconfig = Places.from_environment(os.environ).kubeconfig
    if os.environ.get("KUBECONFIG") != str(kubeconfig):
        pytest.skip(f"needs the dev cluster, and KUBECONFIG does not name it ({kubeconfig})")


@pytest.hookimpl(trylast=True)  # other folders mark theirs first
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have a marked test ask for its cluster before anything else, which may need it."""
    for item in items:
        if isinstance(item, pytest.Function):
            asked = [f"_{name}" for name in ("cluster", "devcluster") if item.get_closest_marker(name)]
            # Not in place: the tests that one function makes share the list, and not all of them are marked.
            item.fixturenames = [*asked, *item.fixturenames]
