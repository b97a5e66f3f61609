"""The dashboard, the alert rules and the mapping go with the chart as files, and name what podenv sends."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
import yaml
from tests.chart.helm import Helm

from podenv.airflow.measured import METRICS
from podenv.release import chart

FOLDER = chart.folder() / "monitoring"
WORDS = {"counter": "_total", "timer": "_seconds", "gauge": ""}
# statsd_exporter's name -> the metric
NAMES = {f"airflow_{name.replace('.', '_')}{WORDS[kind]}": name for name, kind in METRICS.items()}
# As Grafana gives them to Prometheus.
VARIABLES = {"$__rate_interval": "5m", "$environment": ".*", "$dag_id": ".*"}


def dashboard() -> Any:
    return json.loads((FOLDER / "dashboard.json").read_text())


def rules() -> list[Any]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> list[str]:
    """What the panels and the rules ask Prometheus."""
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for name, value in VARIABLES.items():
        asked = [one.replace(name, value) for one in asked]
    return [*asked, *(rule["expr"] for rule in rules())]


def named(text: str) -> set[str]:
    """The metrics in ``text``, without what a histogram adds to its name."""
    return {re.sub(r"_(bucket|sum|count)$", "", found) for found in re.findall(r"\bairflow_podenv_[a-z_]+", text)}


@pytest.mark.parametrize("expression", expressions())
def test_prometheus_can_read_it(expression: str) -> None:
    promql_parser.parse(expression)


@pytest.fixture
def promtool() -> str:
    """Prometheus's own program that checks rules."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("needs promtool (in Debian's package prometheus)")
    return found


def test_prometheus_takes_the_rules_with_their_texts(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", FOLDER / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"SUCCESS: {len(rules())} rules found" in done.stdout


def test_each_alert_fires_on_what_it_is_about_and_none_on_a_quiet_day(promtool: str, tmp_path: Path) -> None:
    cases = Path(__file__).with_name("alerts.test.yml")
    assert set(re.findall(r'alertname="(\w+)"', cases.read_text())) == {rule["alert"] for rule in rules()}
    for file in (cases, FOLDER / "alerts.yml"):
        shutil.copy(file, tmp_path)
    argv = [promtool, "test", "rules", str(tmp_path / cases.name)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_and_rules_name_only_metrics_that_podenv_sends() -> None:
    asked = named(" ".join(expressions())) | named(json.dumps(dashboard()["templating"]))
    assert asked - NAMES.keys() == set()


def test_the_dashboard_shows_every_metric_but_sizes_of_what_is_written_and_cpu() -> None:
    shown = named(json.dumps(dashboard()["panels"]))
    assert {NAMES[one] for one in NAMES.keys() - shown} == {"podenv.task.cpu_seconds", "podenv.task.written_bytes"}


def test_the_labels_that_are_asked_for_are_tags_that_podenv_sends() -> None:
    labels = {label for one in expressions() for label in re.findall(r"([a-z_]+)(?:=~|!=|!~|=)\"", one)}
    grouped = {
        one.strip() for text in expressions() for part in re.findall(r"by \(([^)]*)\)", text) for one in part.split(",")
    }
    known = {"dag_id", "task_id", "environment", "state", "failure", "kind", "reason", "le"}
    assert labels | grouped <= known


def test_the_mapping_gives_each_metric_its_name() -> None:
    """As statsd_exporter reads it: a `*` is one part of the name, and the first entry that matches counts."""
    entries = yaml.safe_load((FOLDER / "statsd-mappings.yml").read_text())["mappings"]
    kinds = {"counter": "counter", "timer": "observer", "gauge": "gauge"}

    def mapped(name: str, kind: str) -> str:
        for entry in entries:
            match = re.fullmatch(re.escape(entry["match"]).replace(r"\*", r"([^.]+)"), f"airflow.{name}")
            if match and entry["match_metric_type"] == kinds[kind]:
                return str(entry["name"]).replace("${1}", match[1])
        return f"airflow.{name}".replace(".", "_")

    assert {mapped(name, kind): name for name, kind in METRICS.items()} == NAMES


def test_a_rule_has_what_prometheus_takes_and_says_what_to_do() -> None:
    text = {"type": "string", "minLength": 1}
    rule = {
        "type": "object",
        "additionalProperties": False,
        "required": ["alert", "expr", "labels", "annotations"],
        "properties": {
            "alert": {"type": "string", "pattern": "^Podenv[A-Za-z]+$"},
            "expr": text,
            "for": {"type": "string", "pattern": "^[0-9]+[smhd]$"},
            "labels": {
                "type": "object",
                "required": ["severity"],
                "properties": {"severity": {"enum": ["critical", "warning", "info"]}},
            },
            "annotations": {
                "type": "object",
                "additionalProperties": False,
                "required": ["summary", "description"],
                "properties": {"summary": text, "description": text},
            },
        },
    }
    jsonschema.validate(rules(), {"type": "array", "minItems": 1, "items": rule})
    assert len({one["alert"] for one in rules()}) == len(rules())


def test_the_dashboard_has_the_shape_that_grafana_imports() -> None:
    source = {"type": "object", "required": ["type", "uid"], "properties": {"uid": {"const": "${datasource}"}}}
    place = {name: {"type": "integer", "minimum": 0} for name in ("x", "y", "w", "h")}
    panel = {
        "type": "object",
        "required": ["id", "type", "title", "datasource", "gridPos", "fieldConfig", "options", "targets"],
        "properties": {
            "id": {"type": "integer"},
            "title": {"type": "string", "minLength": 1},
            "datasource": source,
            "gridPos": {"type": "object", "required": list(place), "properties": place},
            "targets": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "object", "required": ["refId", "expr", "datasource", "legendFormat"]},
            },
        },
    }
    variable = {"type": "object", "required": ["name", "type", "query"]}
    board = {
        "type": "object",
        "required": ["title", "uid", "schemaVersion", "panels", "templating", "time", "annotations"],
        "properties": {
            "schemaVersion": {"type": "integer", "minimum": 36},
            "panels": {"type": "array", "items": panel},
            "templating": {"required": ["list"], "properties": {"list": {"type": "array", "items": variable}}},
        },
    }
    jsonschema.validate(dashboard(), board)
    panels = dashboard()["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    assert len({(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels}) == len(panels)
    assert "id" not in dashboard()  # Grafana gives it one


def test_helm_neither_renders_nor_packs_them_and_a_change_there_is_none_of_a_release(
    helm: Helm, tmp_path: Path
) -> None:
    copy = tmp_path / "airflow-env"
    shutil.copytree(chart.folder(), copy)
    before = chart.content(copy)
    (copy / "monitoring" / "dashboard.json").write_text("{}")
    assert chart.content(copy) == before
    assert not any(name.startswith("monitoring/") for name in before["files"])
    packed = helm.run("package", str(copy), "--destination", str(tmp_path))
    assert packed
    shutil.unpack_archive(next(tmp_path.glob("*.tgz")), tmp_path / "packed")
    assert not (tmp_path / "packed" / "airflow-env" / "monitoring").exists()
