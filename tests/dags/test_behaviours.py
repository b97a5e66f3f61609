"""`@task.env`, `EnvPodOperator` and `run_in_env` as Airflow runs them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.dags.conftest import Run


def test_value_travels_by_xcom_and_what_is_printed_goes_to_the_log(behaviours: Run) -> None:
    assert behaviours["produce"].value == {"numbers": [1, 2, 3], "words": ["a"]}
    assert behaviours.printed("produce") == ["a line of output"]


def test_mapped_tasks_run_over_one_output_and_their_results_come_back_as_a_list(behaviours: Run) -> None:
    assert [task.value for task in behaviours.all("double")] == [12, 14, 16]
    assert behaviours["total"].value == 42


def test_expand_kwargs_maps_over_argument_sets(behaviours: Run) -> None:
    assert [task.value for task in behaviours.all("product")] == [6, 20]


def test_override_moves_a_task_to_another_environment(behaviours: Run) -> None:
    assert behaviours["version"].value == "3.11"
    assert behaviours["version_elsewhere"].value == "3.13"


def test_arguments_are_templates_and_context_values_come_by_name(behaviours: Run) -> None:
    value = behaviours["templated"].value
    assert value == {
        "text": "blue",
        "nested": {"day": value["ds"]},
        "ds": behaviours.result.run_id.split("__")[1][:10],
        "run_id": behaviours.result.run_id,
        "params": {"colour": "blue"},
    }


def test_run_in_env_calls_the_function_with_what_it_was_given_and_nothing_of_the_context(behaviours: Run) -> None:
    assert behaviours["helper_defaults"].value == [[1], None, 0.5, "mine"]


def test_a_context_value_that_reaches_into_airflow_is_refused_and_not_asked(behaviours: Run) -> None:
    failed = behaviours["wants_an_accessor"]
    assert (failed.state, failed.tries) == ("failed", 1)
    assert "the context value 'var' cannot travel to another environment. Name `ds`" in str(failed.error)


def test_retries_give_a_function_that_raised_another_try(behaviours: Run) -> None:
    assert behaviours["second_try"].state == "success"
    assert behaviours["second_try"].value == 2
    assert behaviours["second_try"].tries == 2


def test_a_failure_that_no_retry_can_mend_is_not_retried(behaviours: Run) -> None:
    assert behaviours["no_json"].state == "failed"
    assert behaviours["no_json"].tries == 1
    assert "today" in str(behaviours["no_json"].error)
    assert "\n" not in str(behaviours["no_json"].error)


def test_function_that_needs_what_stays_behind_fails_before_anything_starts(behaviours: Run) -> None:
    failed = behaviours["needs_what_stays_here"]
    assert (failed.state, failed.tries) == ("failed", 1)
    assert "needs_what_stays_here uses what does not travel" in str(failed.error)
    why = r"'computed' \(line \d+ makes it with 'task', which comes from Airflow: pass it as an argument\)"
    assert re.search(why, str(failed.error))


def test_what_the_function_uses_of_its_file_and_of_modules_beside_it_travels(behaviours: Run) -> None:
    first, second = behaviours.all("uses_its_file_and_what_is_beside")
    assert first.value == {"version": "3.11", "scaled": 2, "read": "a note", "factor": 10}
    assert second.value["scaled"] == 4
    printed = behaviours.printed("uses_its_file_and_what_is_beside")
    (travels,) = {line for line in printed if line.startswith("With ")}
    what = r"With uses_its_file_and_what_is_beside travel 5 statements of dags/behaviours\.py and 5 files \(.*\)"
    assert re.fullmatch(what + r": [\d.]+ KiB\.", travels)
    assert printed.count("INFO:behaviours:shared code runs") == 2


def test_run_in_env_of_a_function_from_a_module_beside_the_dag_brings_that_module_along(behaviours: Run) -> None:
    assert behaviours["helper_shares"].value == [6, "a note"]


def test_traceback_of_the_other_environment_is_in_the_log(behaviours: Run) -> None:
    log = "\n".join(behaviours.printed("between"))
    assert 'raise ValueError("the work failed")' in log
    assert "behaviours.py" in log


def test_trigger_rules_hold(behaviours: Run) -> None:
    assert behaviours["after_failure"].value == "ran"


def test_default_args_do_not_overwrite_a_parameter_of_the_function(behaviours: Run) -> None:
    assert behaviours["defaults_stay"].value == 1


def test_default_args_fill_a_parameter_that_has_no_value(behaviours: Run) -> None:
    assert behaviours["defaults_fill"].value == ["by position", 99, 1]


def test_task_group_prefixes_the_task(behaviours: Run) -> None:
    assert behaviours["group.inside"].value == "in the group"


def test_teardown_runs_after_the_work_failed(behaviours: Run) -> None:
    assert behaviours["between"].state == "failed"
    assert behaviours["between"].error == ("The function raised ValueError in environment 'plain': the work failed")
    assert behaviours["end"].value == "set up, torn down"


def test_skip_if_skips_before_anything_starts(behaviours: Run) -> None:
    assert behaviours["skipped"].state == "skipped"
    assert behaviours.printed("skipped") == []


def test_variables_of_the_task_come_over_those_of_the_environment_and_airflows_own_stay_out(behaviours: Run) -> None:
    value = behaviours["variables"].value
    assert value == {
        "GREETING": "from the task",
        "PLACE": "here",
        "DAY": behaviours.result.run_id.split("__")[1][:10],
        "AIRFLOW_HOME": None,
        "AIRFLOW_CTX_DAG_ID": None,
    }


def test_what_only_a_pod_has_is_named_in_a_warning_and_the_task_runs(behaviours: Run) -> None:
    assert behaviours["pod_only"].value == "ran in place"
    assert behaviours.printed("pod_only") == [
        "Only pods have volumes (of the task); the local backend does without. Only the cluster knows the variables "
        "TOKEN (env_vars): to give them values here, set them in your shell.",
    ]


def test_numbers_and_truth_values_are_texts_as_variables(behaviours: Run) -> None:
    assert behaviours["numbers_as_variables"].value == {"PORT": "8080", "DEBUG": "True"}


def test_a_command_returns_what_it_writes_for_xcom(behaviours: Run) -> None:
    assert behaviours["command_with_value"].value == {"a": 1}


def test_the_log_begins_with_what_runs_the_task(behaviours: Run) -> None:
    first = next(line for task, line in behaviours.lines if task == "grows")
    assert re.fullmatch(
        r"Environment 'plain' \(Python 3\.11, lock [0-9a-f]{16}\), local virtual environment; "
        r"limits cpu 1, memory 64Mi \(up to 1Gi\)\.",
        first,
    )


def test_a_task_without_logs_runs_silently(behaviours: Run) -> None:
    assert (behaviours["silent"].value, behaviours.printed("silent")) == (1, [])


def test_results_name_the_limits_that_the_task_had_in_the_end(behaviours: Run) -> None:
    assert behaviours["produce"].limits == {"cpu": "1", "memory": "300Mi"}
    assert (behaviours["grows"].limits, behaviours["grows"].max_memory) == ({"cpu": "1", "memory": "256Mi"}, "1Gi")
    assert behaviours["helper"].limits is None


def test_operator_runs_a_function(behaviours: Run) -> None:
    assert behaviours["function"].value == "3.13"


def test_operator_runs_a_command_with_the_programs_of_the_environment_first(behaviours: Run) -> None:
    assert behaviours["command"].value is None
    assert behaviours.printed("command") == ["on 13 for blue"]


def test_exit_code_of_a_command_skips_or_fails_the_task(behaviours: Run) -> None:
    assert behaviours["command_skips"].state == "skipped"
    assert behaviours["command_fails"].state == "failed"
    assert str(behaviours["command_fails"].error).startswith(
        "In environment 'plain' the process ended with exit code 3."
    )


def test_a_function_skips_its_task_by_its_exit_code(behaviours: Run) -> None:
    assert behaviours["skips_itself"].state == "skipped"


def test_operator_is_mapped_over_environments(behaviours: Run) -> None:
    assert [task.value for task in behaviours.all("everywhere")] == ["3.11", "3.13"]


def test_out_of_memory_runs_again_larger_in_the_same_try(behaviours: Run) -> None:
    assert behaviours["grows"].value == 150_000_000
    assert behaviours.printed("grows") == [
        "Out of memory at the limit of 64Mi; running again with 128Mi (max_memory is 1Gi).",
        "Out of memory at the limit of 128Mi; running again with 256Mi (max_memory is 1Gi).",
    ]


def test_value_is_not_pushed_where_the_task_says_so(behaviours: Run) -> None:
    assert behaviours["unpushed"].state == "success"
    assert behaviours["unpushed"].value is None


def test_value_that_is_not_pushed_may_be_anything(behaviours: Run) -> None:
    assert behaviours["unpushable"].state == "success"
    assert behaviours["unpushable"].value is None


def test_timeout_of_a_task_fails_it_and_leaves_no_process(behaviours: Run) -> None:
    assert behaviours["too_long"].state == "failed"
    assert not _running(f"blue-{behaviours.result.run_id}")


def test_run_in_env_in_a_plain_task_returns_values_and_raises_types(behaviours: Run) -> None:
    assert behaviours["helper"].value == {
        "version": "3.13",
        "type": "LookupError",
        "message": "on purpose",
        "seen": {"GREETING": "from the environment", "AIRFLOW_HOME": None},
    }
    assert behaviours.printed("helper")[0] == "from the plain task"


def test_a_call_that_fails_unhandled_brings_its_traceback_into_the_log(behaviours: Run) -> None:
    failed = behaviours["helper_fails"]
    assert failed.error == "The function raised LookupError in environment 'plain': not handled"
    assert behaviours.printed("helper_fails")[-2:] == [
        "    raise LookupError(text)",
        "LookupError: not handled",
    ]


def test_a_moment_with_a_fixed_offset_can_be_read_by_the_next_task(behaviours: Run) -> None:
    assert behaviours["as_text"].value == ["2024-01-01T01:00:00+05:30", "2024-01-01T02:00:00+05:30"]


def test_each_result_names_its_environment(behaviours: Run) -> None:
    assert behaviours["produce"].environment == "plain"
    assert behaviours["helper"].environment is None
    assert [task.environment for task in behaviours.all("everywhere")] == ["plain", "other"]


def _running(marker: str) -> bool:
    return subprocess.run(["pgrep", "-f", marker], stdout=subprocess.DEVNULL, check=False).returncode == 0
