"""What people know from ``@task``, each in a task of its own; run once, and looked at by many tests."""

import logging
from datetime import timedelta

from airflow.sdk import dag, setup, task, task_group, teardown
from kubernetes.client import V1EnvVar, V1EnvVarSource, V1SecretKeySelector, V1Volume
from teamcode.numbers import note, scale

from podenv import EnvPodOperator, run_in_env
from podenv.errors import FunctionRaised

LOG = logging.getLogger("behaviours")
FACTOR = 10
# Something of Airflow's process: a task that needs it is told so.
computed = type(task).__name__


def interpreter() -> str:
    import platform

    return ".".join(platform.python_version_tuple()[:2])


def sees(*names: str) -> dict:
    import os

    return {name: os.environ.get(name) for name in names}


def in_india(hour: int, try_number=None):
    from datetime import datetime, timedelta, timezone

    return datetime(2024, 1, try_number, hour, tzinfo=timezone(timedelta(hours=5, minutes=30)))


def keeps_its_defaults(rows: list, params=None, var=0.5, ds="mine"):
    return [rows, params, var, ds]


def fails(text: str) -> None:
    raise LookupError(text)


@dag(
    schedule=None, params={"colour": "blue"}, default_args={"memory": "300Mi", "rows": 99, "retry_delay": timedelta(0)}
)
def behaviours():
    @task.env("plain")
    def produce() -> dict[str, list]:
        print("a line of output")
        return {"numbers": [1, 2, 3], "words": ["a"]}

    @task.env("other")
    def double(number: int, offset: int) -> int:
        return 2 * number + offset

    @task.env("plain")
    def total(numbers: list) -> int:
        return sum(numbers)

    produced = produce()

    @task.env("plain")
    def pick(words: list, numbers: list) -> list:
        return [number for number in numbers if words == ["a"]]

    total(double.partial(offset=10).expand(number=pick(produced["words"], produced["numbers"])))

    @task.env("plain")
    def product(x: int, y: int) -> int:
        return x * y

    product.expand_kwargs([{"x": 2, "y": 3}, {"x": 4, "y": 5}])

    @task.env("plain")
    def version() -> str:
        import platform

        return ".".join(platform.python_version_tuple()[:2])

    version()
    version.override(task_id="version_elsewhere", env="other")()

    @task.env("plain")
    def templated(text: str, nested: dict, ds=None, run_id=None, params=None) -> dict:
        return {"text": text, "nested": nested, "ds": ds, "run_id": run_id, "params": params}

    templated("{{ params.colour }}", {"day": "{{ ds }}"})

    @task.env("plain", retries=2)
    def second_try(try_number=None) -> int:
        if try_number < 2:
            raise RuntimeError("not yet")
        return try_number

    second_try()

    @task.env("plain", retries=2)
    def no_json() -> dict:
        return {"today": float("nan")}

    @task.env("plain")
    def uses_its_file_and_what_is_beside(number: int) -> dict:
        LOG.info("shared code runs")
        return {"version": interpreter(), "scaled": scale(number), "read": note(), "factor": FACTOR}

    uses_its_file_and_what_is_beside.expand(number=[1, 2])

    @task.env("plain", retries=2)
    def needs_what_stays_here() -> str:
        return computed  # podenv: ignore[not-carried]

    needs_what_stays_here()

    @task(trigger_rule="all_done")
    def after_failure() -> str:
        return "ran"

    no_json() >> after_failure()

    @task.env("plain")
    def defaults_stay(rows: int = 1) -> int:
        return rows

    defaults_stay()

    @task.env("plain")
    def defaults_fill(memory: str, rows: int, *, factor: int = 1) -> list:
        return [memory, rows, factor]

    defaults_fill("by position")

    @task_group
    def group():
        @task.env("plain")
        def inside() -> str:
            return "in the group"

        inside()

    group()

    @setup
    @task.env("plain")
    def begin() -> str:
        return "set up"

    @teardown
    @task.env("plain")
    def end(what: str) -> str:
        return f"{what}, torn down"

    @task.env("plain")
    def between() -> None:
        raise ValueError("the work failed")

    begun = begin()
    begun >> between() >> end(begun)

    @task.skip_if(lambda context: True)
    @task.env("plain")
    def skipped() -> None:
        print("never")

    skipped()

    @task.env(env="plain", env_vars={"GREETING": "from the task", "DAY": "{{ ds }}"})
    def variables() -> dict:
        import os

        return {
            name: os.environ.get(name) for name in ("GREETING", "PLACE", "DAY", "AIRFLOW_HOME", "AIRFLOW_CTX_DAG_ID")
        }

    variables()

    secret = V1EnvVarSource(secret_key_ref=V1SecretKeySelector(name="vault", key="token"))

    @task.env(
        "plain", volumes=[V1Volume(name="data")], env_vars=[V1EnvVar(name="TOKEN", value_from=secret)], deferrable=True
    )
    def pod_only() -> str:
        return "ran in place"

    pod_only()

    @task.env("plain", env_vars={"PORT": 8080, "DEBUG": True})
    def numbers_as_variables() -> dict:
        import os

        return {name: os.environ[name] for name in ("PORT", "DEBUG")}

    numbers_as_variables()

    @task.env("plain", get_logs=False)
    def silent() -> int:
        print("not in the log")
        return 1

    silent()

    EnvPodOperator(task_id="function", env="other", python_callable=interpreter)
    EnvPodOperator(
        task_id="command_with_value",
        env="plain",
        cmds=["sh", "-c", "echo '{\"a\": 1}' > /airflow/xcom/return.json"],
        log_formatter=lambda container, line: f"{container}: {line}",
    )
    EnvPodOperator(
        task_id="command",
        env="other",
        cmds=["python", "-c"],
        arguments=["import sys; print(f'on {sys.version_info[1]} for {{ params.colour }}')"],
    )
    EnvPodOperator(
        task_id="command_skips", env="plain", cmds=["python", "-c", "raise SystemExit(7)"], skip_on_exit_code=7
    )
    EnvPodOperator(task_id="command_fails", env="plain", cmds=["python", "-c", "raise SystemExit(3)"])
    EnvPodOperator.partial(task_id="everywhere", python_callable=interpreter).expand(env=["plain", "other"])

    @task.env("plain", memory="64Mi", max_memory="1Gi")
    def grows() -> int:
        block = bytearray(150_000_000)
        for place in range(0, len(block), 4096):
            block[place] = 1
        import time

        time.sleep(1)
        return len(block)

    grows()

    @task.env("plain", do_xcom_push=False)
    def unpushed() -> int:
        return 1

    unpushed()

    @task.env("plain", do_xcom_push=False)
    def unpushable():
        return object()

    unpushable()

    @task.env("plain", skip_on_exit_code=7)
    def skips_itself() -> None:
        import sys

        sys.exit(7)

    skips_itself()

    @task.env("plain", execution_timeout=timedelta(seconds=2))
    def too_long(marker: str) -> None:
        import subprocess
        import sys

        subprocess.run([sys.executable, "-c", f"import time; time.sleep(300)  # {marker}"])

    too_long("{{ params.colour }}-{{ run_id }}")

    @task
    def helper(ds=None) -> dict:
        print("from the plain task")
        try:
            run_in_env("plain", fails, "on purpose")
        except FunctionRaised as error:
            return {
                "version": run_in_env("other", interpreter),
                "type": error.type,
                "message": error.remote_message,
                "seen": run_in_env("plain", sees, "GREETING", "AIRFLOW_HOME"),
            }
        raise AssertionError("it did not fail")

    helper()

    @task
    def helper_fails() -> None:
        run_in_env("plain", fails, "not handled")

    helper_fails()

    @task
    def helper_defaults(ds=None) -> list:
        return run_in_env("plain", keeps_its_defaults, [1])

    helper_defaults()

    @task.env("plain", retries=2)
    def wants_an_accessor(var=None) -> None: ...

    wants_an_accessor()

    @task
    def helper_shares() -> list:
        return [run_in_env("plain", scale, 3), run_in_env("other", note)]

    helper_shares()

    @task
    def helper_moment():
        return run_in_env("plain", in_india, 2, try_number=1)

    @task
    def as_text(moments: list) -> list[str]:
        return [moment.isoformat() for moment in moments]

    as_text([task.env("plain")(in_india)(1), helper_moment()])


behaviours()
