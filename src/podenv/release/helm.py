"""Helm, through pyhelm3: started without a shell, its errors as our types.

What is different from pyhelm3's own Command, seen with 0.5.8: no shell (an interruption reaches helm itself), values as
UTF-8 (helm refuses the escape of an emoji), stderr kept on success (the API server's warnings are there), a hard
timeout, and arguments that it does not know: labels, Helm 4's way of waiting, the dry run on the server.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyhelm3
from packaging.version import InvalidVersion, Version

from podenv import process
from podenv.catalogue import names
from podenv.errors import HelmUnsupported, ProgramFailed, ProgramTimedOut, ReleaseTimedOut
from podenv.release.cluster import Json
from podenv.release.helmfailures import failure

GET_HELM = (
    "Get helm 4.1 or newer from https://helm.sh/docs/intro/install (or your system's packages) and put it on PATH, "
    "or name it in PODENV_HELM."
)
# Helm 3 has no server-side apply, which keeps what another field manager owns.
OLDEST, NEXT = Version("4.1"), Version("5")
HISTORY_REVISIONS = 10  # revisions that Helm keeps of a release
OPERATION_SECONDS = 120  # for one hook, or one operation
_WAITING = "--wait=hookOnly"
_UNCHECKED = "--disable-openapi-validation"  # the server checks what is applied there; its schema is megabytes
# The fields that the release renders are set also where another field manager has changed them.
_SERVER_SIDE: dict[str, Any] = {"server_side": "true", "force_conflicts": True}
_HANG_SECONDS = 60  # beyond its own timeout after which helm is ended
_WARNING = re.compile(r'level=WARN msg="?((?:[^"\\]|\\.)+)"?')


def find() -> Path:
    """The helm program in force; raises `ProgramNotFound`, saying how to get it, and `HelmUnsupported`."""
    program = process.find_program("helm", GET_HELM, env_var="PODENV_HELM")
    _version(program)
    return program


@lru_cache
def _version(program: Path) -> Version:
    printed = process.run([program, "version", "--template", "{{ .Version }}"], timeout=30).stdout.strip()
    try:
        version = Version(printed)
    except InvalidVersion:
        raise HelmUnsupported(f"{program} says that its version is {printed!r}. {GET_HELM}") from None
    if not OLDEST <= version < NEXT:
        raise HelmUnsupported(
            f"{program} is helm {version}, podenv works with {OLDEST} and newer, below {NEXT}. {GET_HELM}"
        )
    return version


class Helm(pyhelm3.Command):  # type: ignore[misc]  # pyhelm3 has no types
    """The helm program for one release, one command after the other.

    ``secrets`` are replaced by ``***`` in its errors and warnings. ``warnings`` are those of the API server.
    """

    def __init__(
        self,
        release: str,
        namespace: str,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        secrets: Collection[str] = (),
    ) -> None:
        program = find()
        super().__init__(
            executable=str(program), history_max_revisions=HISTORY_REVISIONS, kubeconfig=kubeconfig, kubecontext=context
        )
        self.warnings: list[str] = []
        self._release = release
        self._namespace = namespace
        self._secrets = secrets
        self._more: list[str] = []
        self._limit = float(OPERATION_SECONDS + _HANG_SECONDS)

    async def run(self, command: list[object], input: bytes | None = None) -> bytes:
        """Run helm with ``command``; raises `ReleaseError` or one of its subtypes."""
        argv = [self._executable, *map(str, command), *self._more]
        for option, value in (("--kubeconfig", self._kubeconfig), ("--kube-context", self._kubecontext)):
            if value:
                argv += [option, str(value)]
        # A helm that outlived a killed podenv would go on, and perhaps roll back, beside the next one.
        argv = process.ended_with_parent(Path(sys.executable), argv)
        sent = json.dumps(json.loads(input), ensure_ascii=False).encode() if input is not None else b""
        try:
            done = process.run(argv, env=_environ(), input=sent, timeout=self._limit)
        except ProgramTimedOut:
            raise ReleaseTimedOut(
                f"helm did nothing more for the release {self._release!r} and was ended after {self._limit:g} s; "
                f"run the command again."
            ) from None
        except ProgramFailed as error:
            raise failure(self._release, self._namespace, self._redacted(error.stderr)) from None
        self.warnings += warnings(self._redacted(done.stderr))
        return done.stdout.encode()

    async def upgrade(self, chart: Path, values: Json, *, revision: int) -> Json:
        """Install or upgrade the release, marking the new ``revision`` as podenv's; returns it as Helm prints it.

        Helm waits for hooks only. Its own rollback is not asked for: it would wait for all objects, those of
        ``extraObjects`` too, and then again after it has gone back (seen with 4.1.4).
        """
        # The values were checked by the model that the chart's schema is made from.
        mark = f"{names.REVISION_LABEL}={revision}"
        self._set([_WAITING, "--skip-schema-validation", _UNCHECKED, "--labels", mark])
        answer: Json = await self.install_or_upgrade(
            self._release,
            chart,
            values,
            cleanup_on_fail=True,
            create_namespace=False,
            namespace=self._namespace,
            reset_values=True,
            timeout=f"{OPERATION_SECONDS}s",
            **_SERVER_SIDE,
        )
        return answer

    async def preview(self, chart: Path, values: Json) -> Json:
        """The revision that an upgrade would make; the API server has checked it, and nothing is kept."""
        self._set(["--dry-run=server", _UNCHECKED])
        answer: Json = await self.install_or_upgrade(
            self._release,
            chart,
            values,
            create_namespace=False,
            namespace=self._namespace,
            reset_values=True,
            timeout=f"{OPERATION_SECONDS}s",
            **_SERVER_SIDE,
        )
        return answer

    async def back(self, revision: int) -> None:
        """Roll the release back to a revision."""
        self._set([_WAITING, "--server-side=true", "--force-conflicts"])
        await self.rollback(self._release, revision, namespace=self._namespace, timeout=f"{OPERATION_SECONDS}s")

    async def remove(self) -> None:
        """Uninstall the release."""
        self._set([])
        await self.uninstall(self._release, namespace=self._namespace, timeout=f"{OPERATION_SECONDS}s")

    async def test(self, seconds: float) -> None:
        """Run the release's test pod; raises `ReleaseTestFailed`."""
        self._set([], seconds)
        await self.run(["test", self._release, "--namespace", self._namespace, "--timeout", f"{seconds:.0f}s"])

    async def render(self, chart: Path, values: Json, kubernetes: str = "") -> str:
        """The manifests without hooks, rendered without a cluster; by default for the Kubernetes that helm knows."""
        self._set(["--kube-version", kubernetes] if kubernetes else [])
        command = ["template", self._release, chart, "--namespace", self._namespace, "--no-hooks", "--values", "-"]
        return (await self.run(command, json.dumps(values).encode())).decode()

    def _redacted(self, text: str) -> str:
        """``text`` without secrets. (Helm's stdout keeps them: it is parsed, and never shown.)"""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _set(self, more: Iterable[str], seconds: float = OPERATION_SECONDS) -> None:
        self._more = list(more)
        self._limit = seconds + _HANG_SECONDS


def warnings(stderr: str) -> list[str]:
    """The API server's warnings, each once."""
    found = (_WARNING.search(line) for line in stderr.splitlines())
    return list(dict.fromkeys(one[1].replace('\\"', '"').strip() for one in found if one))


def _environ() -> dict[str, str]:
    """This process's variables, without those that lead helm to another cluster, namespace or storage."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("HELM_KUBE", "HELM_NAMESPACE"))
    }
    # A short life and a small heap: collecting garbage costs more than it gives.
    return environ | {"HELM_DRIVER": "secret", "GOGC": "400"}
