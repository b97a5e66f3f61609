"""Real failures of a deploy: what is said, what stays as it was, and that the next deploy works."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tests.cluster.releases import ABSENT_DIGEST, SMALL, Stage

from podenv.errors import (
    AccessRefused,
    AdmissionRefused,
    ImageNotPulled,
    NoCluster,
    PodenvError,
    QuotaRefused,
    ReleaseBusy,
    ReleaseError,
    ReleaseMissing,
    ReleaseTimedOut,
    ValuesRefused,
)
from podenv.release import DeployResult, Releases, Target, lease, nodes
from podenv.release.cluster import Cluster
from podenv.release.state import State

pytestmark = pytest.mark.cluster

WARM = {"prePull": {"enabled": True}}


HELD = {
    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["podenv.dev/test"]},
}  # fmt: skip


def until(what: Any, *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_an_image_that_nodes_cannot_pull_leaves_the_release_as_it_was(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "PULL_FAILURE_SECONDS", 0)
    name = stage.write("etl", **WARM)
    stage.deploy(name)
    before = stage.pod_template(name)["template"]
    wanted = stage.releases.spec_with_image(stage.catalogue[name], stage.ref.at(ABSENT_DIGEST))
    known = stage.releases.survey({name: stage.namespace(name)})[name]
    said: list[str] = []
    with pytest.raises(ImageNotPulled, match=r"nodes cannot pull its image: .*not found"):
        stage.releases.deploy(wanted, known, timeout=90, say=said.append)
    assert any(line.startswith("image on 0 of ") for line in said)
    assert stage.pod_template(name)["template"] == before
    assert stage.revisions(name) == [(3, "deployed"), (2, "superseded"), (1, "superseded")]
    assert stage.drift(name) == []
    with pytest.raises(ReleaseMissing, match="has no earlier revision that was deployed"):
        stage.rollback(name)  # 2 is the one that could not be pulled
    with pytest.raises(ImageNotPulled):
        stage.rollback(name, 2, timeout=90)
    assert stage.pod_template(name)["template"] == before
    assert stage.revisions(name)[0] == (5, "deployed")


def test_an_image_that_does_not_start_is_a_timeout_that_says_why(stage: Stage) -> None:
    name = stage.write("etl", securityContext={"runAsUser": 0, "runAsNonRoot": True}, **WARM)
    with pytest.raises(ReleaseTimedOut, match=r"not all nodes had its image after .*runAsUser breaks non-root"):
        stage.deploy(name, timeout=10)
    assert stage.revisions(name) == []  # a first release that fails leaves nothing


def test_a_broken_values_file_fails_its_environment_and_no_other(stage: Stage) -> None:
    stage.write("good")
    stage.write("bad", resorces={"limits": {}})
    code, stdout, stderr = stage.run("deploy", "--json")
    assert code == 1
    rows = {row["environment"]: row for row in json.loads(stdout)}
    assert rows["good"]["action"] == "installed"
    assert rows["bad"]["action"] == "failed"
    assert "resorces: there is no such key. Did you mean 'resources'?" in rows["bad"]["error"]
    assert "error: " in stderr
    assert stage.revisions("good") == [(1, "deployed")]
    for command in ("status", "diff"):
        code, stdout, stderr = stage.run(command)
        assert (code, "good" in stdout) == (1, True)
        assert "resorces: there is no such key" in stderr


def test_a_dry_run_says_what_the_schema_of_the_chart_refuses(stage: Stage) -> None:
    name = stage.write("etl")
    wanted = stage.releases.spec_of(stage.catalogue[name])
    wanted.values["image"] = {**wanted.values["image"], "digest": "sha256:nonsense"}
    known = stage.releases.survey({name: stage.namespace(name)})[name]
    with pytest.raises(ValuesRefused, match="/image/digest"):
        stage.releases.preview(wanted, known)


def test_an_object_that_the_api_server_refuses_leaves_the_release_as_it_was(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    port = {"port": 123456, "protocol": "TCP"}
    bad = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [port]}}
    stage.write("etl", extraObjects=[bad], env={"A": "1"})
    with pytest.raises(AdmissionRefused, match="must be between 1 and 65535"):
        stage.deploy(name)
    assert stage.drift(name) == []
    assert "A" not in str(stage.pod_template(name)["template"]["spec"]["containers"][0]["env"])
    stage.write("etl")
    assert stage.deploy(name).action in ("repaired", "upgraded", "unchanged")


def test_a_field_that_kubernetes_does_not_know_is_refused(stage: Stage) -> None:
    typo = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "dta": {"a": "b"}}
    name = stage.write("etl", extraObjects=[typo])
    with pytest.raises(AdmissionRefused, match="dta: field not declared in schema"):
        stage.deploy(name)
    assert stage.revisions(name) == []


def test_a_quota_that_has_no_room_is_said(stage: Stage) -> None:
    name = stage.write("etl")
    namespace = stage.namespace(name)
    stage.cluster.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": namespace}})
    quota = {"kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"count/podtemplates": "0"}}}
    stage.cluster.create(stage.path("ResourceQuota", "", of=name), quota)
    until(lambda: (stage.cluster.get(stage.path("ResourceQuota", "none", of=name)) or {}).get("status", {}).get("hard"))
    with pytest.raises(QuotaRefused, match="exceeded quota: none"):
        stage.deploy(name)


def test_a_user_who_may_not_is_told_which_verb_on_which_object(stage: Stage, tmp_path: Path) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    account = stage.path("ServiceAccount", "weak", of=name)
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak"}}
    stage.cluster.create(account.rpartition("/")[0], body)
    token = stage.cluster.create(
        f"{account}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    )["status"]["token"]
    config = _kubeconfig(stage.cluster, tmp_path / "weak", user={"token": token})
    weak = Releases(Target(kubeconfig=config, prefix=stage.prefix))
    with pytest.raises(AccessRefused) as caught:
        stage.deploy(name, weak)
    assert 'cannot list resource "secrets"' in str(caught.value)
    assert token not in str(caught.value)
    wanted = weak.spec_of(stage.catalogue[name])
    with pytest.raises(AccessRefused, match='cannot get resource "namespaces"'):
        weak.deploy(wanted, State())


def test_two_deploys_at_once_both_end_well(stage: Stage) -> None:
    name = stage.write("etl", env={"A": "1"})
    one = stage.releases.spec_of(stage.catalogue[name])
    stage.write("etl", env={"A": "2"})
    two = stage.releases.spec_of(stage.catalogue[name])
    known = stage.releases.survey({name: stage.namespace(name)})[name]
    ended: list[DeployResult | PodenvError] = []
    said: list[str] = []

    def deploy(wanted: Any) -> None:
        try:
            ended.append(Releases(Target(prefix=stage.prefix)).deploy(wanted, known, say=said.append))
        except PodenvError as error:
            ended.append(error)

    threads = [threading.Thread(target=deploy, args=(wanted,)) for wanted in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.action for one in ended if isinstance(one, DeployResult)) == ["installed", "upgraded"]
    assert any(line.startswith("waits for ") for line in said)
    assert stage.revisions(name) == [(2, "deployed"), (1, "superseded")]
    assert stage.drift(name) == []


def test_a_release_that_somebody_else_changes_is_refused_by_name(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    stage.write("etl", env={"A": "1"})
    with (
        lease.held(stage.cluster, name, stage.namespace(name), wait=0),
        pytest.raises(ReleaseBusy, match=rf"is being changed by \S+, process {os.getpid()} since "),
    ):
        stage.deploy(name, wait=0)
    assert stage.revisions(name) == [(1, "deployed")]
    assert stage.deploy(name).action == "upgraded"


def test_a_lease_is_renewed_for_as_long_as_it_is_held_and_taken_over_when_it_is_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 1)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.3)
    place = (stage.cluster, name, stage.namespace(name))
    with lease.held(*place, wait=0), pytest.raises(ReleaseBusy), lease.held(*place, wait=4):
        pytest.fail("two hold one lease")
    dead = lease._lease(*place)
    dead["spec"]["holderIdentity"] = "somebody@gone, process 1 (x)"
    stage.cluster.create(stage.path("Lease", "", of=name, api=lease.API), dead)
    assert lease.holder(*place) is not None
    with lease.held(*place, wait=10):
        holder = lease.holder(*place)
        assert holder is not None
        assert f"process {os.getpid()}" in holder.who
    assert lease.holder(*place) is None


def test_a_namespace_that_is_being_deleted_is_named(stage: Stage) -> None:
    name = stage.write("etl", extraObjects=[HELD])
    stage.deploy(name)
    stage.cluster.delete(f"/api/v1/namespaces/{stage.namespace(name)}")
    try:
        with pytest.raises(ReleaseError, match="is being deleted; wait until it is gone"):
            stage.deploy(stage.write("etl", env={"A": "1"}))
    finally:
        free = {"metadata": {"finalizers": None}}
        stage.cluster.patch(stage.path("ConfigMap", "held", of=name), free)


def test_nobody_waits_for_a_lease_in_a_namespace_that_is_gone(stage: Stage) -> None:
    gone = stage.namespace("gone")
    with pytest.raises(ReleaseError, match="namespace is gone"), lease.held(stage.cluster, "etl", gone, wait=0):
        pytest.fail("it holds a lease that is nowhere")


def test_after_kill_9_in_mid_deploy_the_next_deploy_works(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    _hang(stage)
    process = stage.start("deploy", name)
    until(lambda: stage.revisions(name)[0] == (2, "pending-upgrade"))
    process.kill()
    process.communicate()
    until(lambda: not _helms(stage), seconds=5)  # helm does not outlive it
    stage.write("etl", env={"A": "2"})
    with pytest.raises(ReleaseBusy):
        stage.deploy(name, wait=0)  # as long as podenv cannot know that the other is dead
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert (row["state"], row["revision"]) == ("pending-upgrade", 1)
    assert "is changing it" in row["health"]
    assert stage.deploy(name).action == "upgraded"
    assert stage.revisions(name)[0] == (4, "deployed")
    assert stage.drift(name) == []


def test_after_kill_9_in_a_first_deploy_the_next_one_works(stage: Stage) -> None:
    name = stage.write("etl")
    _hang(stage)
    process = stage.start("deploy", name)
    until(lambda: stage.revisions(name) == [(1, "pending-install")])
    process.kill()
    process.communicate()
    stage.write("etl")
    assert stage.deploy(name).action == "installed"
    assert stage.revisions(name) == [(1, "deployed")]
    assert stage.drift(name) == []


def test_after_ctrl_c_the_next_deploy_works_at_once(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    before = stage.pod_template(name)["template"]
    _hang(stage)
    process = stage.start("deploy", name)
    until(lambda: stage.revisions(name)[0] == (2, "pending-upgrade"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert stage.cluster.get(stage.path("Lease", f"{name}-deploy", of=name, api=lease.API)) is None
    stage.write("etl")
    stage.deploy(name, wait=0)
    assert stage.pod_template(name)["template"] == before
    assert stage.revisions(name)[0][1] == "deployed"


def test_an_api_server_lost_in_mid_deploy_is_said_and_the_next_deploy_works(stage: Stage, tmp_path: Path) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    _hang(stage)
    with _Gate(stage.cluster.server) as gate:
        config = _kubeconfig(stage.cluster, tmp_path / "gate", server=gate.url)
        through = Releases(Target(kubeconfig=config, prefix=stage.prefix))
        caught: list[PodenvError] = []

        def deploy() -> None:
            try:
                stage.deploy(name, through, timeout=15)
            except PodenvError as error:
                caught.append(error)

        thread = threading.Thread(target=deploy)
        thread.start()
        until(lambda: stage.revisions(name)[0] == (2, "pending-upgrade"))
        gate.shut()
        thread.join(60)
        assert [type(error) for error in caught] == [NoCluster], caught
        with pytest.raises(NoCluster, match="does not answer"):
            stage.deploy(name, through)
    stage.write("etl", env={"A": "2"})
    assert stage.deploy(name).action == "upgraded"
    assert stage.revisions(name)[0][1] == "deployed"
    assert stage.drift(name) == []


def test_no_secret_is_in_argv_in_output_or_in_a_dump(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "argv"
    recorder = tmp_path / "helm"
    recorder.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {seen}\nexec {os.environ["PODENV_HELM"]} "$@"\n')
    recorder.chmod(0o755)
    monkeypatch.setenv("PODENV_HELM", str(recorder))
    stage.write("etl", env={"DB_PASSWORD": "correct-horse ✨"})
    outputs = [
        stage.run("deploy"),
        stage.run("values", "etl"),
        stage.run("diff"),
        stage.run("status", "--json"),
        stage.run("history", "etl", "--json"),
    ]
    assert [code for code, _, _ in outputs] == [0] * len(outputs)
    assert "upgrade" in seen.read_text()
    assert "correct-horse" not in seen.read_text()
    assert "correct-horse" not in str(outputs)
    assert "correct-horse ✨" in str(stage.pod_template("etl"))


def _hang(stage: Stage) -> None:
    """Let Helm wait in the next deploy of ``etl``, for a hook that does not end."""
    container = {
        "name": "hang", "image": str(stage.ref), "command": ["python", "-c", "import time; time.sleep(300)"],
        "resources": SMALL,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 50000, "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    annotations = {"helm.sh/hook": "pre-install,pre-upgrade"}
    hook = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hang", "annotations": annotations}, "spec": pod}
    stage.write("etl", env={"HANGS": "1"}, extraObjects=[hook])


def _helms(stage: Stage) -> str:
    return subprocess.run(
        ["pgrep", "-f", f"namespace {stage.prefix}"], capture_output=True, text=True, check=False
    ).stdout


def _kubeconfig(cluster: Cluster, file: Path, *, server: str = "", user: Any = None) -> Path:
    """The kubeconfig in force, with another server or another user."""
    said = subprocess.run(
        ["kubectl", "config", "view", "--minify", "--flatten", "--raw", "--output=json"],
        capture_output=True,
        check=True,
    ).stdout
    config = json.loads(said)
    if server:
        # The certificate is for the real address.
        here = config["clusters"][0]["cluster"]
        here.update({"server": server, "tls-server-name": urlsplit(here["server"]).hostname})
    if user:
        config["users"][0]["user"] = user
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    return file


class _Gate:
    """A way to the API server that can be shut for one test alone."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._to = (parts.hostname, parts.port or 443)
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> _Gate:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def shut(self) -> None:
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(self._to)
                self._open += [client, upstream]
                for source, sink in ((client, upstream), (upstream, client)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            for data in iter(lambda: source.recv(1 << 16), b""):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
