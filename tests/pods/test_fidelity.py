"""The simulated API server and a real one give the same answers, word for word where the engine reads words."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client import ApiClient, ApiException, CoreV1Api
from tests.pods.apiserver import ApiServer

from podenv.pods import attach
from podenv.pods.attach import Answer, Attachment, AttachRefused
from podenv.pods.client import KubernetesClient

Json = dict[str, Any]


class Api:
    """One of the two servers, asked through the real client."""

    def __init__(self, core: CoreV1Api, namespace: str, image: str) -> None:
        self.core = core
        self.namespace = namespace
        self.image = image

    def ask(self, method: str, path: str, body: Any = None, *, seconds: float = 20, **query: Any) -> Any:
        """The response, unread, of a request below the namespace."""
        return self.core.api_client.call_api(
            f"/api/v1/namespaces/{self.namespace}/{path}",
            method,
            body=body,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": _content_type(method, body)},
            response_types_map={200: "object"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(5, seconds),
        )

    def answer(self, method: str, path: str, body: Any = None, **query: Any) -> Json:
        """The object of the answer, or the Status of a refusal."""
        try:
            data = self.ask(method, path, body, **query).read()
        except ApiException as error:
            data = error.body
        return dict(json.loads(data or "{}"))  # 204 says nothing

    def create(self, code: str, **spec: Any) -> str:
        """The name of a new pod that runs ``code``."""
        name = f"p{secrets.token_hex(4)}"
        base = {"name": "base", "image": self.image, "command": ["python3", "-c", code], **spec.pop("base", {})}
        body = {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", **spec}}
        body["spec"]["containers"] = [base]
        assert self.answer("POST", "pods", body)["kind"] == "Pod"
        return name

    def events(self, name: str, seconds: int, *, last: str = "", **query: Any) -> list[tuple[str, Json]]:
        """What a watch of the pod tells in ``seconds``, or until an event that holds ``last``."""
        found, buffer = [], b""
        query = {"resourceVersion": "0", **query}
        chosen = f"metadata.name={name}"
        response = self.ask("GET", "pods", watch="true", fieldSelector=chosen, timeoutSeconds=seconds, **query)
        for data in response.stream(None):
            *lines, buffer = (buffer + data).split(b"\n")
            found += [(event["type"], event["object"]) for event in map(json.loads, lines)]
            if last and any(last.encode() in line for line in lines):
                response.close()
                break
        assert buffer == b""
        return found

    def await_state(self, name: str, *states: str) -> Json:
        """The pod once its container is in one of ``states``."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pod = self.answer("GET", f"pods/{name}")
            for status in pod["status"].get("containerStatuses", []):
                if set(states) & set(status["state"]):
                    return pod
            time.sleep(0.05)
        raise AssertionError(f"{name} is not {states}")

    def log(self, name: str, **query: Any) -> bytes:
        return bytes(self.ask("GET", f"pods/{name}/log", **query).read())


def _content_type(method: str, body: Any) -> str:
    patch = "json-patch" if isinstance(body, list) else "strategic-merge-patch"
    return f"application/{patch}+json" if method == "PATCH" else "application/json"


@pytest.fixture
def _simulated(server: ApiServer) -> Api:
    return Api(server.core(), "s", "image")


@pytest.fixture(scope="session")
def _real_core(_cluster: None) -> Iterator[Api]:
    core = CoreV1Api(config.new_client_from_config())
    name = f"podenv-fidelity-{secrets.token_hex(3)}"
    core.create_namespace({"metadata": {"name": name}})
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(ApiException):
            core.read_namespaced_service_account("default", name)
            break
        time.sleep(0.1)
    yield Api(core, name, f"{os.environ['PODENV_REGISTRY']}/podenv/base:py3.13")
    core.delete_namespace(name)
    core.api_client.rest_client.pool_manager.clear()


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.cluster)])
def api(request: pytest.FixtureRequest) -> Api:
    made: Api = request.getfixturevalue("_simulated" if request.param == "simulated" else "_real_core")
    return made


def test_what_is_not_there_is_refused_by_name(api: Api) -> None:
    for path, resource in (("pods/nix", "pods"), ("pods/nix/log", "pods"), ("podtemplates/nix", "podtemplates")):
        assert api.answer("GET", path) == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'{resource} "nix" not found',
            "reason": "NotFound",
            "details": {"name": "nix", "kind": resource},
            "code": 404,
        }
    assert api.answer("PATCH", "pods/nix", {"metadata": {"labels": {"a": "b"}}})["code"] == 404
    assert api.answer("DELETE", "pods/nix")["code"] == 404


def test_a_new_pod_is_pending_and_filled_in(api: Api) -> None:
    name = f"p{secrets.token_hex(4)}"
    spec = {"containers": [{"name": "base", "image": api.image, "command": ["python3", "-c", "1"]}]}
    made = api.answer("POST", "pods", {"metadata": {"name": name}, "spec": {**spec, "restartPolicy": "Never"}})
    assert (made["kind"], made["apiVersion"], made["status"]["phase"]) == ("Pod", "v1", "Pending")
    assert {"uid", "resourceVersion", "creationTimestamp", "managedFields"} <= set(made["metadata"])
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    assert made["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"
    again = api.answer("POST", "pods", {"metadata": {"name": name}, "spec": spec})
    assert (again["code"], again["reason"]) == (409, "AlreadyExists")
    assert again["message"] == f'pods "{name}" already exists'
    assert again["details"] == {"name": name, "kind": "pods"}


def test_a_pod_that_cannot_be_is_refused(api: Api) -> None:
    empty = api.answer("POST", "pods", {"metadata": {"name": "e"}, "spec": {}})
    assert (empty["code"], empty["reason"]) == (422, "Invalid")
    assert empty["message"].startswith('Pod "e" is invalid: spec.containers: Required value')
    spec = {"containers": [{"name": "base", "image": "i", "env": [{"name": "A", "value": 8}]}]}
    number = api.answer("POST", "pods", {"metadata": {"name": "n"}, "spec": spec})
    assert (number["code"], number["reason"]) == (400, "BadRequest")
    assert "v1.EnvVar.Value: ReadString: expects" in number["message"]


def test_credentials_that_are_not_known_are_refused(api: Api, request: pytest.FixtureRequest) -> None:
    if "server" in request.fixturenames:
        request.getfixturevalue("server").tokens = {"other"}
    configuration = client.Configuration()
    theirs = api.core.api_client.configuration
    configuration.host, configuration.ssl_ca_cert = theirs.host, theirs.ssl_ca_cert
    configuration.api_key = {"authorization": "Bearer nonsense"}
    with ApiClient(configuration) as stranger, pytest.raises(ApiException) as refused:
        CoreV1Api(stranger).read_namespaced_pod("p", api.namespace)
    stranger.rest_client.pool_manager.clear()
    assert json.loads(refused.value.body) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


def test_a_watch_tells_a_pods_life_and_its_deletion(api: Api) -> None:
    name = api.create("print('here')")
    api.await_state(name, "terminated")
    before = api.answer("GET", "pods")["metadata"]["resourceVersion"]
    deleted = api.answer("DELETE", f"pods/{name}")
    assert (deleted["kind"], deleted["metadata"]["name"]) == ("Pod", name)
    told = api.events(name, 10, resourceVersion=before, last='"DELETED"')
    assert [kind for kind, _ in told] == ["MODIFIED", "DELETED"]
    assert all("deletionTimestamp" in pod["metadata"] for _, pod in told)
    assert told[1][1]["kind"] == "Pod"
    assert int(told[1][1]["metadata"]["resourceVersion"]) > int(told[0][1]["metadata"]["resourceVersion"])
    assert api.events(name, 1) == []  # from now on nothing is there to tell
    assert api.answer("GET", f"pods/{name}")["code"] == 404


def test_a_watch_from_zero_begins_with_what_is_there(api: Api) -> None:
    name = api.create("import sys; sys.exit(3)")
    told = api.events(name, 20, last='"terminated"')
    kinds = [kind for kind, _ in told]
    assert kinds[0] == "ADDED"
    assert set(kinds[1:]) == {"MODIFIED"}
    last = told[-1][1]["status"]
    assert last["phase"] == "Failed"
    ended = last["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert {"startedAt", "finishedAt"} <= set(ended)
    kept = api.events(name, 1)
    assert [kind for kind, _ in kept] == ["ADDED"]
    assert kept[0][1]["status"]["phase"] == "Failed"


def test_a_watch_ends_at_its_time_and_says_nothing_of_what_it_does_not_select(api: Api) -> None:
    api.create("1")
    began = time.monotonic()
    assert api.events("nix", 1) == []
    assert 0.9 < time.monotonic() - began < 10


def test_the_log_is_read_by_time_and_from_its_end(api: Api) -> None:
    code = "import time\nfor i in range(4):\n  print('line', i, flush=True); time.sleep(0.6)\n"
    name = api.create(code + "print('x' * 20000, flush=True)\nprint('end', end='', flush=True)")
    api.await_state(name, "terminated")
    lines = api.log(name, timestamps="true").split(b"\n")
    form = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (.*)", re.DOTALL)
    assert [match[1] for line in lines[:4] if (match := form.fullmatch(line))] == [b"line %d" % i for i in range(4)]
    assert lines[-1].endswith(b"Z end")
    plain = api.log(name).split(b"\n")
    assert plain == [b"line 0", b"line 1", b"line 2", b"line 3", b"x" * 20000, b"end"]
    second = lines[2][:19].decode() + "Z"
    since = api.log(name, timestamps="true", sinceTime=second).split(b"\n")
    assert since == [line for line in lines if line[:19].decode() + "Z" >= second]
    fraction = lines[2].split(b" ")[0].decode()
    assert api.log(name, timestamps="true", sinceTime=fraction).split(b"\n") == since
    assert len(api.log(name, tailLines=1)) == len(b"end")
    assert api.log(name, tailLines=0) == b""
    assert api.log(name, sinceTime="2036-01-01T00:00:00Z") == b""


def test_a_line_of_more_than_16_kib_is_stamped_at_each_cut_up_to_kubernetes_1_20(api: Api) -> None:
    name = api.create("print('x' * 20000, flush=True)")
    api.await_state(name, "terminated")
    log = api.log(name, timestamps="true")
    stamps = re.findall(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", log)
    version = client.VersionApi(api.core.api_client).get_code() if api.namespace != "s" else None
    assert len(stamps) == (2 if version is None or int(version.minor.rstrip("+")) <= 20 else 1)
    assert log.index(b"Z ", 40) + 2 - len(stamps[0]) == len(stamps[0]) + 16_384


def test_a_log_that_is_followed_ends_with_its_container(api: Api) -> None:
    name = api.create("import time\nprint('one', flush=True); time.sleep(1); print('two', flush=True)")
    api.await_state(name, "running", "terminated")
    began = time.monotonic()
    response = api.ask("GET", f"pods/{name}/log", follow="true")
    assert response.headers["Content-Type"] == "text/plain"
    assert list(response.stream(65_536)) in ([b"one\n", b"two\n"], [b"one\ntwo\n"])
    assert time.monotonic() - began < 10


def test_the_log_of_a_container_that_does_not_run_is_refused(api: Api) -> None:
    source = {"secretKeyRef": {"name": f"s{secrets.token_hex(4)}", "key": "A"}}
    name = api.create("1", base={"env": [{"name": "A", "valueFrom": source}]})
    end = time.monotonic() + 30
    while "CreateContainerConfigError" not in (words := api.answer("GET", f"pods/{name}/log").get("message", "")):
        assert time.monotonic() < end, words
        time.sleep(0.2)
    assert words == f'container "base" in pod "{name}" is waiting to start: CreateContainerConfigError'
    # The kubelet says it of the log before its status is in the API server.
    while (waiting := api.await_state(name, "waiting")["status"]["containerStatuses"][0]["state"]["waiting"])[
        "reason"
    ] == "ContainerCreating":
        assert time.monotonic() < end, waiting
        time.sleep(0.2)
    missing = source["secretKeyRef"]["name"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": f'secret "{missing}" not found'}
    other = api.answer("GET", f"pods/{name}/log", container="nix")
    assert (other["code"], other["message"]) == (400, f"container nix is not valid for pod {name}")
    api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


def test_a_pod_is_deleted_by_its_uid_and_may_take_its_time(api: Api) -> None:
    name = api.create("import time; time.sleep(60)")
    uid = api.await_state(name, "running")["metadata"]["uid"]
    wrong = api.answer("DELETE", f"pods/{name}", {"preconditions": {"uid": "0"}})
    assert (wrong["code"], wrong["reason"]) == (409, "Conflict")
    assert wrong["details"] == {"name": name, "kind": "Pod"}
    assert wrong["message"] == (
        f'Operation cannot be fulfilled on Pod "{name}": the UID in the precondition (0) does not match the UID in '
        f"record ({uid}). The object might have been deleted and then recreated"
    )
    asked = api.answer("DELETE", f"pods/{name}", {"preconditions": {"uid": uid}, "gracePeriodSeconds": 2})
    assert asked["metadata"]["deletionGracePeriodSeconds"] == 2
    assert asked["status"]["phase"] == "Running"
    told = api.events(name, 30, last='"DELETED"')
    assert told[-1][0] == "DELETED"
    api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


def test_labels_are_patched_one_by_one(api: Api) -> None:
    name = api.create("import time; time.sleep(60)")
    api.await_state(name, "running", "terminated")
    patched = api.answer("PATCH", f"pods/{name}", {"metadata": {"labels": {"c": "d"}}})
    assert patched["metadata"]["labels"] == {"a": "b", "c": "d"}
    patched = api.answer("PATCH", f"pods/{name}", {"metadata": {"labels": {"c": None}}})
    assert patched["metadata"]["labels"] == {"a": "b"}
    api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


def test_a_json_patch_counts_only_where_its_tests_hold_and_a_deletion_only_of_the_version_it_names(api: Api) -> None:
    name = api.create("import time; time.sleep(60)")
    before = api.await_state(name, "running")["metadata"]
    taken = [
        {"op": "test", "path": "/metadata/uid", "value": before["uid"]},
        {"op": "test", "path": "/metadata/labels/a", "value": "b"},
        {"op": "remove", "path": "/metadata/labels/a"},
        {"op": "add", "path": "/metadata/labels/podenv.dev~1x", "value": "y"},
        {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 600},
    ]
    patched = api.answer("PATCH", f"pods/{name}", taken)
    assert patched["metadata"]["labels"] == {"podenv.dev/x": "y"}
    assert patched["spec"]["activeDeadlineSeconds"] == 600
    again = api.answer("PATCH", f"pods/{name}", taken)
    assert (again["code"], again["reason"]) == (422, "Invalid")
    old = {"uid": before["uid"], "resourceVersion": before["resourceVersion"]}
    refused = api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0, "preconditions": old})
    assert (refused["code"], refused["reason"]) == (409, "Conflict")
    now = {**old, "resourceVersion": api.answer("GET", f"pods/{name}")["metadata"]["resourceVersion"]}
    assert "code" not in api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0, "preconditions": now})


def test_who_attaches_hears_what_is_printed_and_its_end_is_the_end_of_the_input(api: Api) -> None:
    code = "import sys; print(sys.stdin.readline().upper(), flush=True); print(repr(sys.stdin.read()), flush=True)"
    name = api.create(code, base={"stdin": True, "stdinOnce": True})
    api.await_state(name, "running")
    attachment, answer = Attachment(KubernetesClient("etl", lambda: api.core), api.namespace), Answer("token")
    attachment.open()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attach, "ACK_SECONDS", 1.0)
        attachment.exchange(name, b"heard\n", answer)
    assert (answer.lines, answer.taken_at) == (["HEARD"], None)
    ended = api.await_state(name, "terminated")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 0
    assert api.log(name).decode().splitlines() == ["HEARD", "", "''"]
    with pytest.raises(AttachRefused):
        Attachment(KubernetesClient("etl", lambda: api.core), api.namespace).exchange("nix", b"", Answer("token"))
    api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


def test_selectors_choose(api: Api) -> None:
    name = api.create("1")
    for labels, found in (
        ("a=b", True), ("a=b,!zz", True), ("a in (b, c)", True), ("a!=b", False), ("!a", False), ("zz", False),
    ):  # fmt: skip
        items = api.answer("GET", "pods", labelSelector=labels, fieldSelector=f"metadata.name={name}")["items"]
        assert (bool(items), "kind" in (items or [{}])[0]) == (found, False)
    bad = api.answer("GET", "pods", labelSelector="a===")
    assert (bad["code"], bad["reason"]) == (400, "BadRequest")
    assert bad["message"].startswith("unable to parse requirement: ")
    assert api.answer("GET", "pods", labelSelector="a=c")["kind"] == "PodList"


def test_a_secret_goes_with_the_pod_that_owns_it(api: Api) -> None:
    name = api.create("import time; time.sleep(60)")
    uid = api.answer("GET", f"pods/{name}")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    body = {"metadata": {"name": name, "ownerReferences": [owner]}, "stringData": {"A": "b"}}
    made = api.answer("POST", "secrets", body)
    assert (made["data"], made["type"]) == ({"A": "Yg=="}, "Opaque")
    again = api.answer("POST", "secrets", body)
    assert (again["code"], again["message"]) == (409, f'secrets "{name}" already exists')
    api.answer("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})
    end = time.monotonic() + 60
    while api.answer("GET", f"secrets/{name}")["kind"] == "Secret":
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_command_gets_its_variables_and_secrets_and_leaves_a_message(api: Api) -> None:
    secret = f"s{secrets.token_hex(4)}"
    api.answer("POST", "secrets", {"metadata": {"name": secret}, "stringData": {"B": "hidden"}})
    env = [{"name": "A", "value": "seen"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": secret, "key": "B"}}}]
    path = {"name": "LOG", "value": "/dev/termination-log"}
    code = "import os; open(os.environ['LOG'], 'w').write(os.environ['A'] + os.environ['B'])"
    name = api.create(code, base={"env": [*env, path]})
    ended = api.await_state(name, "terminated")["status"]
    assert ended["phase"] == "Succeeded"
    assert ended["containerStatuses"][0]["state"]["terminated"]["message"] == "seenhidden"
    gone = api.answer("DELETE", f"secrets/{secret}")
    assert (gone["kind"], gone["status"], gone["details"]["name"]) == ("Status", "Success", secret)
