"""What is wrong is a DAG import error with one clear line; what is right serialises and tells what it uses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from podenv.catalogue.automemory import NEEDS_CAP
from podenv.dagrun import folder as dagfolder
from podenv.dagrun import run as dagrun
from podenv.dagrun import usage as dagusage
from podenv.errors import DagsUnreadable, UnknownDag

PROJECT = Path(__file__).parent / "project"

HEAD = """
from airflow.sdk import DAG, task
from kubernetes.client import V1ResourceRequirements
from podenv import EnvPodOperator

def function(x=1): ...

with DAG("made", schedule=None, default_args={default_args}) as dag:
    {body}
"""


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The DAG made of ``body``, in a project with the environments `plain` and `other`."""
    monkeypatch.delenv("PODENV_CATALOGUE", raising=False)

    def made(body: str, *, catalogue: bool = True, default_args: dict[str, object] | None = None) -> Any:
        if catalogue and not (tmp_path / "envs").exists():
            (tmp_path / "envs").symlink_to(PROJECT / "envs")
        folder = tmp_path / "dags"
        folder.mkdir(exist_ok=True)
        text = HEAD.format(body="\n    ".join(body.strip().splitlines()), default_args=default_args or {})
        (folder / "made.py").write_text(text)
        return dagfolder.read(folder).dag("made")

    return made


def refused(parse: Callable[..., Any], body: str, **kwargs: object) -> str:
    with pytest.raises(DagsUnreadable) as caught:
        parse(body, **kwargs)
    ((file, why),) = caught.value.errors.items()
    assert file.endswith("made.py")
    return why


NO_PLAIM = "There is no environment 'plaim' in {root}. Did you mean 'plain'? `podenv list` shows all, "


@pytest.mark.parametrize(
    "body",
    [
        'task.env("plaim")(function)()',
        'task.env(env="plaim")(function)()',
        'task.env("plaim")(function).expand(x=[1, 2])',
        'task.env("plaim")(function).partial().expand_kwargs([{"x": 1}])',
        'task.env("plain")(function).override(env="plaim")()',
        'task.env("plain")(function).override(env="plaim").expand(x=[1])',
        'EnvPodOperator(task_id="t", env="plaim", cmds=["true"])',
        'EnvPodOperator.partial(task_id="t", env="plaim").expand(cmds=[["true"]])',
        'EnvPodOperator.partial(task_id="t", cmds=["true"]).expand(env=["plain", "plaim"])',
        'EnvPodOperator.partial(task_id="t", cmds=["true"]).expand_kwargs([{"env": "plaim"}])',
    ],
)
def test_wrong_name_is_an_import_error_with_the_nearest_one(
    parse: Callable[..., Any], body: str, tmp_path: Path
) -> None:
    assert refused(parse, body).startswith(NO_PLAIM.format(root=tmp_path / "envs"))


def test_an_unknown_name_may_be_newer_than_airflows_copy_of_the_catalogue(
    parse: Callable[..., Any], tmp_path: Path
) -> None:
    why = refused(parse, 'task.env("etl")(function)()')
    assert why.startswith(f"There is no environment 'etl' in {tmp_path / 'envs'}. ")
    assert why.endswith(
        "`podenv new etl --python X.Y` makes it. If it was made already, this copy of envs/ is older than the DAG: "
        "deliver both together, or remove the copy."
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("memory='1GB'", "request of memory: '1GB' is not a Kubernetes quantity"),
        ("memory=512", "memory cannot be 512; write it like '512Mi'."),
        ("cpu=True", "cpu cannot be True; write it like '500m' or 1.5."),
        ("cpu=-1", "request of cpu: '-1' is not a Kubernetes quantity"),
        ("memory='512m'", "request of memory: 512m is half a byte; did you mean 512Mi?"),
        ("cpu='2Gi'", "request of cpu: 2Gi is 2,147,483,648 cores; write it like 500m or 2. Was it meant as memory?"),
        ("cpu=1000", "request of cpu: 1000 is 1,000 cores; did you mean 1000m?"),
        ("max_memory='8'", "max_memory: 8 is 8 bytes; did you mean 8Gi?"),
        (
            "container_resources={'limits': {'ephemeral-storage': 10}}",
            "limit of ephemeral-storage: 10 is 10 bytes; did you mean 10Gi?",
        ),
        ("gpu='0.5'", "request of nvidia.com/gpu: 0.5 is not a whole number; write it like 1."),
        ("gpu=-1", "request of nvidia.com/gpu: '-1' is not a Kubernetes quantity"),
        ("memory=['1Gi']", "memory cannot be ['1Gi']; write it like '512Mi'."),
        ("memory='1Gi', max_memory='512Mi'", "max_memory (512Mi) is below memory (1Gi); raise it or leave it out."),
        ("max_memory='256Mi'", "max_memory (256Mi) is below memory (512Mi); raise it or leave it out."),
        ("max_memory='much'", "max_memory: 'much' is not a Kubernetes quantity"),
        (
            "container_resources={'requests': {'memory': '1Gi'}}",
            "the request of memory (1Gi) is above its limit (512Mi); lower the request or raise the limit.",
        ),
        (
            "container_resources=V1ResourceRequirements(limits={'cpu': '50m'})",
            "the request of cpu (100m) is above its limit (50m); lower the request or raise the limit.",
        ),
        (
            "memory='1Gi', container_resources={'limits': {'memory': '2Gi'}}",
            "memory is set twice, by memory (1Gi) and by container_resources.limits (2Gi); pass one of them.",
        ),
        ("container_resources={'limit': {}}", "container_resources has no 'limit'. Did you mean 'limits'?"),
        ("memory='auto'", NEEDS_CAP),
        ("memory='auto', max_memory='8'", "max_memory: 8 is 8 bytes; did you mean 8Gi?"),
        (
            "memory='auto', max_memory='1Gi', container_resources={'limits': {'memory': '2Gi'}}",
            "memory is set twice, by memory (512Mi) and by container_resources.limits (2Gi); pass one of them.",
        ),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "task.env('plain', task_id='t', {0})(function)()",
        "task.env('plain', task_id='t', {0})(function).expand(x=[1])",
        "task.env('plain', task_id='t')(function).override({0})()",
        "EnvPodOperator(task_id='t', env='plain', python_callable=function, {0})",
        "EnvPodOperator.partial(task_id='t', env='plain', {0}).expand(python_callable=[function])",
    ],
)
def test_wrong_limit_is_an_import_error_with_the_rule(
    parse: Callable[..., Any], form: str, arguments: str, why: str
) -> None:
    assert refused(parse, form.format(arguments)).startswith(f"Task 't': {why}")


@pytest.mark.parametrize(
    "body",
    ['task.env("plain")(function)()', 'task.env("plain")(function).expand(x=[1])'],
)
def test_wrong_limit_in_default_args_is_found_too(parse: Callable[..., Any], body: str) -> None:
    assert refused(parse, body, default_args={"memory": "some"}).startswith(
        "Task 'function': request of memory: 'some' is not a Kubernetes quantity"
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            "@task.env\ndef bare(): ...",
            'TypeError: @task.env needs the name of an environment: write @task.env("name-of-the-environment", ...).',
        ),
        (
            "task.env()(function)",
            "TypeError: @task.env needs the name of an environment, not None: "
            'write @task.env("name-of-the-environment", ...).',
        ),
        (
            'task.env("plain", env="other")(function)',
            "TypeError: @task.env got two names, 'plain' and env='other': "
            'write @task.env("name-of-the-environment", ...).',
        ),
        (
            'EnvPodOperator(task_id="t", env=None, cmds=["true"])',
            "TypeError: Task 't' needs env, the name of an environment.",
        ),
        (
            'EnvPodOperator(task_id="t", env="plain")',
            "TypeError: Task 't' needs a python_callable or cmds: one of them, not both.",
        ),
        (
            'EnvPodOperator(task_id="t", env="plain", cmds=["true"], python_callable=function)',
            "TypeError: Task 't' needs a python_callable or cmds: one of them, not both.",
        ),
        (
            'EnvPodOperator(task_id="t", env="plain", cmds="true")',
            "TypeError: Task 't': cmds is a list of texts, not one text: it is started without a shell.",
        ),
        (
            'EnvPodOperator(task_id="t", env="plain", python_callable=function, arguments=["x"])',
            "TypeError: Task 't': arguments go with cmds; a function has op_args and op_kwargs.",
        ),
    ],
)
def test_wrong_form_is_an_import_error_that_shows_the_right_one(parse: Callable[..., Any], body: str, why: str) -> None:
    assert refused(parse, body) == why


def test_without_a_catalogue_only_the_form_of_the_name_is_checked(parse: Callable[..., Any]) -> None:
    assert parse('task.env("anything", memory="1Gi")(function)()', catalogue=False)
    assert refused(parse, 'task.env("Any_Thing")(function)()', catalogue=False).startswith(
        "'Any_Thing' cannot name an environment"
    )


def test_limits_that_are_still_templates_are_left_for_the_run(parse: Callable[..., Any]) -> None:
    assert parse('task.env("plain", container_resources={"limits": {"memory": "{{ params.m }}"}})(function)()')


def test_environments_that_an_upstream_task_names_are_left_for_the_run(parse: Callable[..., Any]) -> None:
    assert parse('EnvPodOperator.partial(task_id="t", cmds=["true"]).expand(env=task(function)())')


def test_one_decorator_serves_several_functions(parse: Callable[..., Any]) -> None:
    dag = parse('plain = task.env("plain")\n@plain\ndef a(): ...\n@plain\ndef b(): ...\na()\nb()')
    assert dag.task_ids == ["a", "b"]


def test_tasks_are_kubernetes_pod_operators_and_serialise(parse: Callable[..., Any]) -> None:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from airflow.serialization import serialized_objects

    known = vars(serialized_objects)
    serialization = known.get("DagSerialization") or known["SerializedDAG"]  # the second: Airflow 3.1
    body = """
task.env("plain", memory="300Mi", container_resources={"limits": {"cpu": "2"}})(function)("{{ ds }}")
task.env("plain", task_id="mapped")(function).expand(x=[1])
EnvPodOperator(task_id="command", env="plain", cmds=["true"])
EnvPodOperator.partial(task_id="commands", env="plain").expand(cmds=[["true"]])
"""
    dag = parse(body)
    assert isinstance(dag.get_task("function"), KubernetesPodOperator)
    assert isinstance(dag.get_task("command"), KubernetesPodOperator)
    one = serialization.to_dict(dag)
    # Nothing in it changes from parse to parse.
    assert json.dumps(serialization.to_dict(parse(body))) == json.dumps(one)
    again = serialization.from_dict(json.loads(json.dumps(one)))
    assert {task.task_id: task.operator_name for task in again.tasks} == {
        "function": "@task.env",
        "mapped": "@task.env",
        "command": "EnvPodOperator",
        "commands": "EnvPodOperator",
    }
    assert {name for task in again.tasks for name in task.extra_links} == {"Environment"}
    for task in dag.tasks:
        assert list(task.template_fields) == sorted(task.template_fields)


def test_usage_tells_environment_and_limits_of_every_task(parse: Callable[..., Any], tmp_path: Path) -> None:
    parse("""
task.env("plain", cpu=0.5, max_memory="2Gi")(function)()
task.env("other", task_id="mapped", memory="1Gi", gpu=1)(function).expand(x=[1])
EnvPodOperator.partial(task_id="everywhere", cmds=["true"]).expand(env=["plain", "other"])
task(function).override(task_id="airflows_own")()
""")
    file = str(tmp_path / "dags" / "made.py")
    assert [asdict(use) for use in dagusage.usage(dagfolder.read(tmp_path / "dags"))] == [
        {
            "dag_id": "made",
            "task_id": task,
            "environment": env,
            "cpu": cpu,
            "memory": memory,
            "max_memory": most,
            "gpu": gpu,
            "file": file,
        }
        for task, env, cpu, memory, most, gpu in [
            ("function", "plain", "0.5", "512Mi", "2Gi", None),
            ("mapped", "other", "1", "1Gi", None, "1"),
            ("everywhere", "plain", "1", "512Mi", None, None),
            ("everywhere", "other", "1", "512Mi", None, None),
        ]
    ]


def test_unknown_dag_names_the_nearest() -> None:
    with pytest.raises(UnknownDag, match=r"There is no DAG 'behaviour' in .*\. Did you mean 'behaviours'\?"):
        dagrun.run(dagfolder.read(PROJECT / "dags"), "behaviour")


def test_provider_registers_the_decorator_and_the_settings() -> None:
    import jsonschema
    from airflow import __file__ as airflow
    from airflow.providers.common.compat.sdk import conf
    from airflow.providers_manager import ProvidersManager

    from podenv.airflow.provider import get_provider_info

    schema = json.loads(Path(airflow).with_name("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    assert "podenv" in manager.providers
    manager.initialize_providers_configuration()  # Airflow 3.1 waits for this
    assert conf.get("podenv", "backend") == "kubernetes"
    assert conf.get("podenv", "catalogue") == ""


def test_importing_the_provider_imports_nothing_else() -> None:
    code = "import sys; from podenv.airflow import provider; print({'airflow', 'pydantic'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_parameter_named_like_a_context_value_has_no_default_but_none_as_in_airflows_own_task(
    parse: Callable[..., Any],
) -> None:
    why = refused(parse, "@task.env('plain')\ndef rated(var=0.5): ...\nrated()")
    assert why == "ValueError: Context key parameter var can't have a default other than None"


AUTO = [
    "task.env('plain', task_id='t', memory='auto', max_memory='2Gi')(function)()",
    "task.env('plain', task_id='t', memory='auto', max_memory='2Gi')(function).expand(x=[1])",
    "task.env('plain', task_id='t')(function).override(memory='auto', max_memory='2Gi')()",
    "EnvPodOperator(task_id='t', env='plain', python_callable=function, memory='auto', max_memory='2Gi')",
    "EnvPodOperator.partial(task_id='t', env='plain', memory='auto', max_memory='2Gi').expand(op_args=[[1]])",
    "EnvPodOperator.partial(task_id='t', env='plain', max_memory='2Gi', cmds=['true']).expand(memory=['auto'])",
    "task.env('learned', task_id='t')(function)()",
    "task.env('learned', task_id='t', memory='auto')(function)()",
]


@pytest.mark.parametrize("body", AUTO)
def test_memory_that_is_learned_is_shown_with_its_cap(parse: Callable[..., Any], body: str, tmp_path: Path) -> None:
    parse(body)
    found = [use for use in dagusage.usage(dagfolder.read(tmp_path / "dags")) if use.memory is not None]
    assert {(use.memory, use.max_memory) for use in found if use.memory == "auto"} == {("auto", "2Gi")}


def test_a_mapped_memory_without_a_cap_is_refused(parse: Callable[..., Any]) -> None:
    body = "EnvPodOperator.partial(task_id='t', env='plain', python_callable=function).expand(memory=['auto'])"
    assert refused(parse, body) == f"Task 't': {NEEDS_CAP}"


def test_where_there_is_no_catalogue_a_cap_may_be_the_environments(parse: Callable[..., Any]) -> None:
    parse("task.env('plain', memory='auto')(function)()", catalogue=False)
