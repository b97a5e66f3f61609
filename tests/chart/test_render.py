"""What the chart renders: the least, and what each value changes."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.chart.helm import BASE, CHART, DIGEST, Helm, Object, at

from podenv.call import warm as idle
from podenv.catalogue import automemory, names
from podenv.catalogue.spec import released
from podenv.catalogue.values import read
from podenv.errors import ProgramFailed
from podenv.release.chart import content
from podenv.runtime.warm import CANNOT_WAIT, IMPORTS

SHORT = DIGEST.removeprefix("sha256:")[:32]
POD = "PodTemplate.template.spec"
BOX = f"{POD}.containers.0"


@pytest.fixture(scope="module")
def least(helm: Helm) -> dict[str, Object]:
    return helm.render()


def test_the_least_is_a_pod_template_a_service_account_and_a_test(least: dict[str, Object]) -> None:
    assert sorted(least) == ["Pod", "PodTemplate", "ServiceAccount"]
    labels = {
        "app.kubernetes.io/instance": "etl",
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/name": "airflow-env",
        "podenv.dev/environment": "etl",
    }
    of_object = {**labels, "helm.sh/chart": "airflow-env-0.1.0"}
    contract = {"podenv.dev/digest": DIGEST, "podenv.dev/python": "3.11", "podenv.dev/version": "0.1.0"}
    assert least["ServiceAccount"] == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "etl", "namespace": "podenv-etl", "labels": of_object},
        "automountServiceAccountToken": False,
    }
    assert len(least["PodTemplate"]["metadata"]["annotations"].pop("podenv.dev/inputs")) == 64
    assert least["PodTemplate"] == {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {
            "name": "etl",
            "namespace": "podenv-etl",
            "labels": {**of_object, "podenv.dev/digest": SHORT},
            "annotations": contract,
        },
        "template": {
            "metadata": {
                "labels": {**labels, "podenv.dev/digest": SHORT, "app.kubernetes.io/component": "task"},
                "annotations": {
                    **contract,
                    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                    "karpenter.sh/do-not-disrupt": "true",
                },
            },
            "spec": {
                "serviceAccountName": "etl",
                "automountServiceAccountToken": False,
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "restartPolicy": "Never",
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 30,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 50000,
                    "fsGroup": 50000,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "tolerations": [
                    {
                        "key": f"node.kubernetes.io/{taint}",
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": 300,
                    }
                    for taint in ("not-ready", "unreachable")
                ],
                "containers": [
                    {
                        "name": "base",
                        "image": f"registry.example/etl@{DIGEST}",
                        "resources": {
                            "requests": {"cpu": "250m", "memory": "256Mi"},
                            "limits": {"cpu": "1", "memory": "1Gi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "env": [{"name": "HOME", "value": "/tmp"}],
                        "volumeMounts": [{"name": "podenv-tmp", "mountPath": "/tmp"}],
                    }
                ],
                "volumes": [{"name": "podenv-tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
            },
        },
    }


def test_the_test_pod_is_a_task_pod_that_checks_python_and_imports(helm: Helm) -> None:
    rendered = helm.render({"lock": {"hash": "a" * 64, "packages": ["numpy", "pyyaml"]}})
    pod, task = rendered["Pod"], rendered["PodTemplate"]["template"]["spec"]
    command = pod["spec"]["containers"][0].pop("command")
    check = (CHART / "files" / "check.py").read_text(encoding="utf-8")
    assert command == ["python", "-c", check, "3.11", "numpy", "pyyaml"]
    assert pod["spec"] == task
    assert pod["metadata"]["name"] == "etl-test"
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "test"
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"
    assert rendered["PodTemplate"]["metadata"]["annotations"]["podenv.dev/lock"] == "a" * 64


OPTIONS: list[tuple[Object, str, Any]] = [
    # the image
    ({"image": {"digest": None, "tag": "py3.11-abc"}}, f"{BOX}.image", "registry.example/etl:py3.11-abc"),
    ({"image": {"tag": "py3.11-abc"}}, f"{BOX}.image", f"registry.example/etl@{DIGEST}"),
    ({"image": {"repository": None}}, f"{BOX}.image", f"registry.example/podenv-etl@{DIGEST}"),
    ({"image": {"registry": "r.example:5000/a"}}, f"{BOX}.image", f"r.example:5000/a/etl@{DIGEST}"),
    ({"image": {"registry": None}}, f"{BOX}.image", f"etl@{DIGEST}"),
    ({"image": {"pullPolicy": "Always"}}, f"{BOX}.imagePullPolicy", "Always"),
    ({"imagePullSecrets": [{"name": "regcred"}]}, f"{POD}.imagePullSecrets", [{"name": "regcred"}]),
    # resources
    (
        {"resources": {"limits": {"nvidia.com/gpu": 1, "memory": 4294967296, "cpu": 1.5}}},
        f"{BOX}.resources",
        {
            "requests": {"cpu": "250m", "memory": "256Mi"},
            "limits": {"cpu": "1.5", "memory": "4294967296", "nvidia.com/gpu": "1"},
        },
    ),
    ({"resources": {"limits": {"cpu": None}}}, f"{BOX}.resources.limits", {"memory": "1Gi"}),
    # memory that is learned: no pod ever has `auto`
    (
        {"resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "auto"}, "maxMemory": "2Gi"}},
        f"{BOX}.resources",
        {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
    ),
    (
        {"resources": {"limits": {"memory": "auto"}, "maxMemory": "2Gi"}, "resourceQuota": {"hard": {"pods": 1}}},
        "LimitRange.spec.limits.0.default",
        {"cpu": "1", "memory": "2Gi"},
    ),
    ({"tmp": {"size": "5Gi"}}, f"{POD}.volumes.0.emptyDir", {"sizeLimit": "5Gi"}),
    ({"tmp": {"medium": "Memory"}}, f"{POD}.volumes.0.emptyDir", {"sizeLimit": "1Gi", "medium": "Memory"}),
    ({"tmp": None}, f"{POD}.volumes", None),
    ({"tmp": None}, f"{BOX}.env", None),
    (
        {"sharedMemory": {"size": "2Gi"}},
        f"{POD}.volumes.0",
        {"name": "podenv-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
    ),
    ({"sharedMemory": {"size": "2Gi"}}, f"{BOX}.volumeMounts.0", {"name": "podenv-shm", "mountPath": "/dev/shm"}),
    ({"terminationGracePeriodSeconds": 600}, f"{POD}.terminationGracePeriodSeconds", 600),
    ({"terminationGracePeriodSeconds": 0}, f"{POD}.terminationGracePeriodSeconds", 0),
    # environment variables
    (
        {"env": {"B": "1e3", "A": "$(B) costs $5 $$", "C": None, "HOME": "/home/x"}},
        f"{BOX}.env",
        [
            {"name": "A", "value": "$$(B) costs $$5 $$$$"},
            {"name": "B", "value": "1e3"},
            {"name": "HOME", "value": "/home/x"},
        ],
    ),
    ({"env": {"HOME": ""}}, f"{BOX}.env", [{"name": "HOME", "value": ""}]),
    (
        {"secretEnv": {"HOME": {"name": "db", "key": "password", "optional": True}, "X": None}},
        f"{BOX}.env",
        [{"name": "HOME", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password", "optional": True}}}],
    ),
    (
        {"configMapEnv": {"HOME": {"name": "site", "key": "home"}}, "fieldEnv": {"HOME": "spec.nodeName"}},
        f"{BOX}.env",
        [{"name": "HOME", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "home"}}}],
    ),
    (
        {"fieldEnv": {"HOME": "metadata.labels['a.b/c']"}, "env": {"HOME": "x"}},
        f"{BOX}.env",
        [{"name": "HOME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}}}],
    ),
    (
        {"envFrom": [{"prefix": "DB_", "secretRef": {"name": "db"}}, {"configMapRef": {"name": "site"}}]},
        f"{BOX}.envFrom",
        [{"prefix": "DB_", "secretRef": {"name": "db"}}, {"configMapRef": {"name": "site"}}],
    ),
    # files
    (
        {"volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "m"}}]},
        f"{POD}.volumes",
        [
            {"name": "models", "persistentVolumeClaim": {"claimName": "m"}},
            {"name": "podenv-tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    ),
    (
        {"volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "v1"}]},
        f"{BOX}.volumeMounts",
        [
            {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "v1"},
            {"name": "podenv-tmp", "mountPath": "/tmp"},
        ],
    ),
    (
        {"volumeMounts": [{"name": "scratch", "mountPath": "/tmp/"}]},
        f"{BOX}.volumeMounts",
        [{"name": "scratch", "mountPath": "/tmp/"}],
    ),
    (
        {"initContainers": [{"name": "fetch", "command": ["python", "-c", "pass"], "image": "other:1"}]},
        f"{POD}.initContainers",
        [
            {
                "name": "fetch",
                "image": "other:1",
                "command": ["python", "-c", "pass"],
                "resources": {
                    "requests": {"cpu": "250m", "memory": "256Mi"},
                    "limits": {"cpu": "1", "memory": "1Gi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    ),
    (
        {"initContainers": [{"name": "fetch", "securityContext": {"readOnlyRootFilesystem": False}}]},
        f"{POD}.initContainers.0.securityContext",
        {"readOnlyRootFilesystem": False},
    ),
    # identity
    ({"serviceAccount": {"create": False}}, "ServiceAccount", None),
    ({"serviceAccount": {"create": False}}, f"{POD}.serviceAccountName", "default"),
    ({"serviceAccount": {"create": False, "name": "shared"}}, f"{POD}.serviceAccountName", "shared"),
    ({"serviceAccount": {"name": "0"}}, "ServiceAccount.metadata.name", "0"),
    ({"serviceAccount": {"name": "0"}}, f"{POD}.serviceAccountName", "0"),
    ({"serviceAccount": {"automount": True}}, "ServiceAccount.automountServiceAccountToken", True),
    ({"serviceAccount": {"automount": True}}, f"{POD}.automountServiceAccountToken", True),
    (
        {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/etl", "x": None}}},
        "ServiceAccount.metadata.annotations",
        {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/etl"},
    ),
    ({"podSecurityContext": {"runAsUser": 1000}}, f"{POD}.securityContext.runAsUser", 1000),
    ({"podSecurityContext": {"runAsUser": None, "x": {"y": None, "z": 1}}}, f"{POD}.securityContext.x", {"z": 1}),
    ({"podSecurityContext": None}, f"{POD}.securityContext", None),
    ({"securityContext": {"readOnlyRootFilesystem": False}}, f"{BOX}.securityContext.readOnlyRootFilesystem", False),
    # placement
    ({"nodeSelector": {"pool": "1", "x": None}}, f"{POD}.nodeSelector", {"pool": "1", "kubernetes.io/arch": "amd64"}),
    ({"image": {"platform": "linux/arm/v7"}}, f"{POD}.nodeSelector", {"kubernetes.io/arch": "arm"}),
    ({"image": {"platforms": ["linux/amd64", "linux/arm64"]}}, f"{POD}.nodeSelector", None),
    (
        {"image": {"platform": "linux/arm64", "platforms": ["linux/arm64"]}},
        f"{POD}.nodeSelector",
        {"kubernetes.io/arch": "arm64"},
    ),
    ({"image": {"external": True, "tag": "v1"}}, f"{POD}.nodeSelector", None),
    ({"nodeSelector": {"kubernetes.io/arch": "arm64"}}, f"{POD}.nodeSelector", {"kubernetes.io/arch": "arm64"}),
    ({"tolerations": [{"operator": "Exists"}]}, f"{POD}.tolerations", [{"operator": "Exists"}]),
    ({"nodeLossSeconds": 0}, f"{POD}.tolerations.1.tolerationSeconds", 0),
    ({"nodeLossSeconds": None}, f"{POD}.tolerations", None),
    (
        {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]},
        f"{POD}.tolerations",
        [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
            {
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
        ],
    ),
    (
        {"affinity": {"nodeAffinity": {"a": [1]}, "podAffinity": None, "podAntiAffinity": {}}},
        f"{POD}.affinity",
        {"nodeAffinity": {"a": [1]}},
    ),
    (
        {
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
                {
                    "maxSkew": 2,
                    "topologyKey": "rack",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"x": "1"}},
                },
            ]
        },
        f"{POD}.topologySpreadConstraints",
        [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {
                    "matchLabels": {"podenv.dev/environment": "etl", "app.kubernetes.io/component": "task"}
                },
            },
            {
                "maxSkew": 2,
                "topologyKey": "rack",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"x": "1"}},
            },
        ],
    ),
    ({"priorityClassName": "batch"}, f"{POD}.priorityClassName", "batch"),
    ({"runtimeClassName": "nvidia"}, f"{POD}.runtimeClassName", "nvidia"),
    ({"schedulerName": "volcano"}, f"{POD}.schedulerName", "volcano"),
    (
        {"hostAliases": [{"ip": "10.0.0.5", "hostnames": ["db.internal"]}]},
        f"{POD}.hostAliases",
        [{"ip": "10.0.0.5", "hostnames": ["db.internal"]}],
    ),
    ({"dnsPolicy": "None"}, f"{POD}.dnsPolicy", "None"),
    (
        {"dnsConfig": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]}},
        f"{POD}.dnsConfig",
        {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]},
    ),
    ({"podLabels": {"team": "0"}}, "PodTemplate.template.metadata.labels.team", "0"),
    ({"podLabels": {"team": "0"}}, "PodTemplate.metadata.labels.team", None),
    ({"podLabels": {"team": ""}, "extraLabels": {"team": "x"}}, "PodTemplate.template.metadata.labels.team", ""),
    (
        {
            "podAnnotations": {
                "karpenter.sh/do-not-disrupt": None,
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
            }
        },
        "Pod.metadata.annotations",
        {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
            "helm.sh/hook": "test",
            "helm.sh/hook-delete-policy": "before-hook-creation",
        },
    ),
    # beside the pods
    ({"extraLabels": {"cost": "42"}}, "PodTemplate.metadata.labels.cost", "42"),
    ({"extraLabels": {"cost": "42"}}, "PodTemplate.template.metadata.labels.cost", "42"),
    ({"extraLabels": {"cost": "42"}}, "ServiceAccount.metadata.labels.cost", "42"),
    ({"extraAnnotations": {"owner": "1e3"}}, "ServiceAccount.metadata.annotations", {"owner": "1e3"}),
    ({"extraAnnotations": {"owner": "1e3"}}, "PodTemplate.template.metadata.annotations.owner", "1e3"),
    (
        {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "site"}, "data": {"a": "1"}}]},
        "ConfigMap",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "site"}, "data": {"a": "1"}},
    ),
    ({"resourceQuota": {"hard": {"pods": 5}}}, "ResourceQuota.spec", {"hard": {"pods": "5"}}),
    (
        {"resourceQuota": {"hard": {"pods": 5}}, "resources": {"limits": {"nvidia.com/gpu": 1}}},
        "LimitRange.spec.limits",
        [
            {
                "type": "Container",
                "default": {"cpu": "1", "memory": "1Gi"},
                "defaultRequest": {"cpu": "250m", "memory": "256Mi"},
            }
        ],
    ),
    (
        {"limitRange": {"max": {"memory": "64Gi"}, "min": {"cpu": "1m"}}, "resourceQuota": {"hard": {"pods": 5}}},
        "LimitRange.spec.limits",
        [{"type": "Container", "max": {"memory": "64Gi"}, "min": {"cpu": "1m"}}],
    ),
    (
        {"limitRange": {"default": {"memory": "1Gi"}, "defaultRequest": {"memory": "1Gi"}}},
        "LimitRange.spec.limits",
        [{"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"memory": "1Gi"}}],
    ),
    (
        {
            "access": {
                "serviceAccounts": [{"name": "worker", "namespace": "airflow"}],
                "users": ["jane"],
                "groups": ["data"],
            }
        },
        "RoleBinding",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {
                "name": "etl-launcher",
                "namespace": "podenv-etl",
                "labels": {
                    "app.kubernetes.io/instance": "etl",
                    "app.kubernetes.io/managed-by": "Helm",
                    "app.kubernetes.io/name": "airflow-env",
                    "helm.sh/chart": "airflow-env-0.1.0",
                    "podenv.dev/environment": "etl",
                },
            },
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "etl-launcher"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "worker", "namespace": "airflow"},
                {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "Group", "name": "data", "apiGroup": "rbac.authorization.k8s.io"},
            ],
        },
    ),
    (
        {"access": {"users": ["jane"]}},
        "Role.rules",
        [
            {"apiGroups": [""], "resources": ["podtemplates"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
        ],
    ),
    (
        {"access": {"users": ["jane"], "secrets": True}},
        "Role.rules.4",
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    ),
    ({"access": {"secrets": True}}, "Role", None),
    ({"access": {"secrets": True}}, "RoleBinding", None),
]


@pytest.mark.parametrize(("values", "path", "expected"), OPTIONS, ids=[f"{next(iter(o[0]))}-{o[1]}" for o in OPTIONS])
def test_a_value_changes_what_it_says(helm: Helm, values: Object, path: str, expected: Any) -> None:
    assert at(helm.render(values), path) == expected


def test_the_pre_puller_holds_the_image_on_the_nodes_of_the_tasks(helm: Helm) -> None:
    placed = {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"a": [1]}, "podAntiAffinity": {"b": [1]}},
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "imagePullSecrets": [{"name": "regcred"}],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
    }
    daemon = helm.render({**placed, "prePull": {"enabled": True}, "extraLabels": {"cost": "42"}})["DaemonSet"]
    selector = {"podenv.dev/environment": "etl", "app.kubernetes.io/component": "pre-pull"}
    assert daemon["metadata"]["name"] == "etl-pre-pull"
    assert daemon["spec"]["selector"] == {"matchLabels": selector}
    assert daemon["spec"]["updateStrategy"] == {"rollingUpdate": {"maxUnavailable": "100%"}}
    labels = daemon["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= {**selector, "podenv.dev/digest": SHORT, "cost": "42"}.items()
    spec = daemon["spec"]["template"]["spec"]
    (container,) = spec.pop("containers")
    assert spec == {
        "serviceAccountName": "etl",
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "regcred"}],
        "securityContext": helm.render()["PodTemplate"]["template"]["spec"]["securityContext"],
        "nodeSelector": {"pool": "gpu", "kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"a": [1]}},
        "runtimeClassName": "nvidia",
        "terminationGracePeriodSeconds": 1,
    }
    assert container["image"] == f"registry.example/etl@{DIGEST}"
    assert container["resources"] == {
        "requests": {"cpu": "1m", "memory": "16Mi"},
        "limits": {"cpu": "100m", "memory": "64Mi"},
    }


POOL = {"warm": {"idle": 3, "imports": ["pandas", "a.b"]}, "access": {"users": ["jane"]}}


@pytest.mark.parametrize(("kubernetes", "kind"), [("1.20.2", "Job"), ("1.34.9", "Job"), ("1.35.0", "Deployment")])
def test_an_idle_pod_is_the_pod_of_a_task_that_waits(helm: Helm, kubernetes: str, kind: str) -> None:
    rendered = helm.render(POOL, kubernetes=kubernetes)
    task, pool = rendered["PodTemplate"], rendered[kind]
    digits = task["metadata"]["annotations"]["podenv.dev/warm"]
    assert re.fullmatch("[0-9a-f]{32}", digits)
    waiting: Object = {"stdin": True, "stdinOnce": True}
    if kind == "Job":
        assert pool["metadata"]["name"] == f"etl-warm-{digits[:8]}"
        assert {key: pool["spec"][key] for key in pool["spec"] if key != "template"} == {
            "parallelism": 3,
            "completions": 2147483647,
            "backoffLimit": 2147483647,
            "manualSelector": True,
            "selector": {"matchLabels": {"podenv.dev/warm": "etl", "podenv.dev/template": digits}},
        }
    else:
        assert pool["metadata"]["name"] == "etl-warm"
        assert {key: pool["spec"][key] for key in pool["spec"] if key != "template"} == {
            "replicas": 3,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {"podenv.dev/warm": "etl"}},
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"}},
        }
        # An import that fails starts the container again, ever more slowly; all else ends the pod.
        rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [CANNOT_WAIT]}}
        waiting |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    pod = pool["spec"]["template"]
    (box,), (theirs,) = pod["spec"].pop("containers"), task["template"]["spec"].pop("containers")
    runtime, imports = box.pop("env")[-2:]
    assert runtime == {"name": idle.RUNTIME, "value": idle.runtime()}
    assert imports == {"name": IMPORTS, "value": '["pandas","a.b"]'}
    del theirs["env"]
    assert box == {**theirs, "command": ["python", "-c", idle.loader()], **waiting}
    assert pod["spec"] == {**task["template"]["spec"], "restartPolicy": "Never" if kind == "Job" else "Always"}
    labels, annotations = (task["template"]["metadata"][key] for key in ("labels", "annotations"))
    assert pod["metadata"]["labels"] == {
        **labels,
        "app.kubernetes.io/component": "warm",
        "podenv.dev/warm": "etl",
        "podenv.dev/template": digits,
    }
    # It may be moved, unlike a task.
    del annotations["karpenter.sh/do-not-disrupt"]
    assert pod["metadata"]["annotations"] == {**annotations, "cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
    assert rendered["Role"]["rules"][3] == {"apiGroups": [""], "resources": ["pods/attach"], "verbs": ["create", "get"]}


def test_only_the_pods_of_tasks_wait_in_a_queue(helm: Helm) -> None:
    given = {"kueue": {"queue": "team-a", "priorityClass": "nightly"}, "podLabels": {"a": "b"}}
    rendered = helm.render(given)
    queued = {"kueue.x-k8s.io/queue-name": "team-a", "kueue.x-k8s.io/priority-class": "nightly"}
    assert queued.items() <= rendered["PodTemplate"]["template"]["metadata"]["labels"].items()
    assert [kind for kind, item in rendered.items() if "kueue" in str(item)] == ["PodTemplate"]


@pytest.mark.parametrize("warm", [None, {}, {"idle": 0}, {"imports": ["pandas"]}])
def test_without_a_number_nothing_idles_and_nobody_may_attach(any_helm: Helm, warm: Object | None) -> None:
    asked = {"access": {"users": ["jane"]}}
    bare, given = any_helm.render(asked), any_helm.render({**asked, "warm": warm})
    for one in (bare, given):
        del one["PodTemplate"]["metadata"]["annotations"]["podenv.dev/inputs"]
    assert given == bare
    assert {"Job", "Deployment"} & set(any_helm.render(asked)) == set()


@pytest.mark.parametrize(("kubernetes", "spec"), [("1.34", "Job.spec"), ("1.35", "Deployment.spec")])
def test_a_null_leaves_the_number_of_idle_pods_to_others(any_helm: Helm, kubernetes: str, spec: str) -> None:
    rendered = any_helm.render({"warm": {"idle": None}}, kubernetes=kubernetes)
    assert not {"parallelism", "replicas"} & at(rendered, spec).keys()
    assert "podenv.dev/warm" in rendered["PodTemplate"]["metadata"]["annotations"]


def test_what_an_idle_pod_is_made_from_has_one_hash_whatever_their_number(helm: Helm) -> None:
    def digits(given: Object) -> str:
        rendered = helm.render({"warm": {"idle": 1}, **given}, kubernetes="1.34")
        found: str = at(rendered["Job"], "spec.selector.matchLabels")["podenv.dev/template"]
        return found

    assert digits({"warm": {"idle": 2}}) == digits({})
    others: list[Object] = [{"env": {"A": "1"}}, {"podLabels": {"a": "b"}}, {"extraAnnotations": {"a": "b"}}]
    others += [{"python": "3.12"}, {"warm": {"idle": 1, "imports": ["json"]}}]
    assert len({digits({}), *map(digits, others)}) == 1 + len(others)


def test_idle_pods_spread_among_themselves(helm: Helm) -> None:
    spread = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
    rendered = helm.render({"warm": {"idle": 1}, "topologySpreadConstraints": spread}, kubernetes="1.35")
    (constraint,) = at(rendered, "Deployment.spec.template.spec.topologySpreadConstraints")
    assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "warm"


REFUSED: list[tuple[Object, dict[str, str], str]] = [
    (
        {"python": "3.11", "image": {"registry": "r.example"}},
        {},
        'image.digest of environment "etl" is missing, and image.tag too: run `podenv build etl --push` and '
        "`podenv deploy etl`, or pass --set image.digest=sha256:...",
    ),
    (
        {"python": "3.11", "image": {"digest": DIGEST}},
        {},
        'image.registry of environment "etl" is missing: set it in envs/defaults.yaml, or deploy with '
        "`podenv deploy etl`.",
    ),
    (
        {**BASE, "namespace": "team-a"},
        {},
        'environment "etl" belongs to the namespace "team-a", as its values say, not to "podenv-etl": '
        "pass --namespace team-a, or deploy with `podenv deploy etl`.",
    ),
    (
        BASE,
        {"release": "a.b"},
        "\"a.b\" cannot name an environment: use at most 40 lower-case letters, digits and '-', beginning and ending "
        "with a letter or a digit (a DNS-1123 label).",
    ),
    (
        BASE,
        {"release": "a" * 41},
        f"\"{'a' * 41}\" cannot name an environment: use at most 40 lower-case letters, digits and '-', beginning and "
        "ending with a letter or a digit (a DNS-1123 label).",
    ),
]


@pytest.mark.parametrize(
    ("values", "options", "message"), REFUSED, ids=["image", "registry", "namespace", "dot", "long"]
)
def test_what_would_go_out_wrong_is_refused(helm: Helm, values: Object, options: dict[str, str], message: str) -> None:
    with pytest.raises(ProgramFailed) as caught:
        helm.template(values, **options)
    assert message in caught.value.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        *(
            (
                {"image": {"registry": None, "repository": repository}},
                "this one names a registry, a tag or a digest too; these are values of their own: image.registry, "
                "image.tag, image.digest",
            )
            for repository in ("127.0.0.1:5000/podenv-etl", "podenv-etl:v1", f"podenv-etl@{DIGEST}")
        ),
        (
            {"extraObjects": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}}]},
            "this one would keep its content in the release; make it with kubectl or an operator for secrets",
        ),
        *(
            ({"warm": {"idle": idle}, "initContainers": [{"name": "a"}]}, "would run initContainers hours before")
            for idle in (1, None)
        ),
        (
            {"warm": {"idle": 1}, "resources": {"limits": {"memory": "auto"}, "maxMemory": "2Gi"}},
            "which no task with memory: auto asks for; give resources.limits.memory",
        ),
    ],
)
def test_the_schema_says_in_words_why_it_refuses(any_helm: Helm, values: Object, message: str) -> None:
    with pytest.raises(ProgramFailed) as caught:
        any_helm.render(values)
    assert message in caught.value.stderr


def test_several_environments_can_share_a_namespace(helm: Helm) -> None:
    rendered = helm.render({"namespace": "team-a"}, namespace="team-a")
    assert {one["metadata"]["namespace"] for one in rendered.values()} == {"team-a"}


@pytest.mark.parametrize("file", sorted((CHART / "ci").glob("*-values.yaml")), ids=lambda file: file.name)
def test_helm_lint_finds_nothing(any_helm: Helm, file: Path) -> None:
    said = any_helm.run("lint", CHART, "--strict", "--values", file)
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "WARNING" not in said


def test_objects_name_the_chart_and_their_pods_do_not(helm: Helm) -> None:
    for one in helm.render({"warm": {"idle": 1}, "prePull": {"enabled": True}}).values():
        assert one["metadata"]["labels"]["helm.sh/chart"] == "airflow-env-0.1.0"
        pod = one.get("template") or at(one, "spec.template")
        assert pod is None or "helm.sh/chart" not in pod["metadata"]["labels"]


def test_the_chart_reads_nothing_that_no_release_holds(helm: Helm) -> None:
    everything = read(Path(__file__).with_name("everything.yaml"))
    kept = released(everything)
    build = {"check", "cluster", "indexes", "packages", "platforms", "source", "systemPackages"}
    assert build & kept.keys() == set() < build & everything.keys()
    for one, other in zip(helm.template(everything), helm.template(kept), strict=True):
        for item in (one, other):
            (item["metadata"].get("annotations") or {}).pop("podenv.dev/inputs", None)
        assert one == other


def test_the_readme_and_the_values_for_lint_change_no_release(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(CHART, tmp_path / "chart"))
    (copied / "README.md").write_text("another")
    shutil.rmtree(copied / "ci")
    assert content(copied) == content(CHART)


def test_the_notes_say_how_a_dag_uses_the_environment(helm: Helm) -> None:
    said = helm.run("install", "etl", CHART, "--dry-run=client", "--namespace", "ns", "--values", "-", given=BASE)
    assert said.split("NOTES:\n")[1] == (
        "Environment etl (Python 3.11) is in the namespace ns. A task uses it so:\n"
        "\n"
        '    @task.env("etl")\n'
        "    def work() -> dict:\n"
        "        ...\n"
        "\n"
        f"Its pods run registry.example/etl@{DIGEST}\n"
        "\n"
        "Only administrators of the cluster may launch pods there yet: name Airflow's service account in "
        "access.serviceAccounts.\n"
        "\n"
        "podenv looks for it in podenv-etl: set `namespace: ns` in its values, or the option\n"
        "[podenv] namespace_prefix.\n"
        "\n"
        "Try it: helm test etl --namespace ns\n"
    )


def test_the_template_alone_says_how_memory_is_learned(helm: Helm) -> None:
    found = helm.render(
        {
            "resources": {"limits": {"memory": "auto"}, "requests": {"memory": None}, "maxMemory": 4294967296},
            "limitRange": {"max": {"memory": "8Gi"}},
            "resourceQuota": {"hard": {"limits.memory": "16Gi", "pods": 4}},
        }
    )["PodTemplate"]
    said = {
        names.FIRST_MEMORY_ANNOTATION: "512Mi",
        names.MAX_MEMORY_ANNOTATION: "4294967296",
        names.MEMORY_BOUNDS_ANNOTATION: "8Gi,16Gi",
    }
    assert found["metadata"]["annotations"].items() >= said.items()
    # A pod says of itself what it begins with.
    assert not said.keys() & found["template"]["metadata"]["annotations"].keys()
    assert automemory.FIRST == "512Mi"


def test_memory_that_is_auto_needs_a_cap(any_helm: Helm) -> None:
    with pytest.raises(ProgramFailed, match="maxMemory"):
        any_helm.render({"resources": {"limits": {"memory": "auto"}}})
