"""What is rendered is valid on every Kubernetes, allowed under "restricted", and reaches no cloud credentials."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.chart.helm import BASE, Helm, Object
from tests.chart.podsecurity import violations
from tests.chart.strategies import accepted_by, is_valid

from podenv.catalogue import values
from podenv.catalogue.spec import json_schema

KUBERNETES = [f"1.{minor}" for minor in range(25, 38)]
EVERYTHING = values.read(Path(__file__).with_name("everything.yaml"))
POOL = values.merge(EVERYTHING, {"initContainers": [], "kueue": None, "warm": {"idle": 2}})
# Kubernetes' own objects, which only the API server can check.
PASSED_ON = {"podSecurityContext", "securityContext", "affinity", "initContainers", "extraObjects", "volumes"}
SCHEMA = json_schema()
PLAIN = SCHEMA | {"properties": {k: v for k, v in SCHEMA["properties"].items() if k not in PASSED_ON}}
plain_values = accepted_by(PLAIN).filter(is_valid(SCHEMA))
quick = settings(suppress_health_check=list(HealthCheck))


def pod_specs(objects: list[Object]) -> Iterator[Object]:
    for one in objects:
        if one["kind"] == "Pod":
            yield one["spec"]
        if one["kind"] == "PodTemplate":
            yield one["template"]["spec"]
        if one["kind"] in ("DaemonSet", "Deployment", "Job"):
            yield one["spec"]["template"]["spec"]


def test_everything_is_everything() -> None:
    removed_by_everything = {"namespace", "podSecurityContext", "securityContext", "systemPackages"}
    assert set(SCHEMA["properties"]) - set(EVERYTHING) == removed_by_everything


@pytest.mark.parametrize("given_values", [BASE, EVERYTHING], ids=["least", "everything"])
def test_every_object_is_valid_on_kubernetes_1_25_to_1_37(helm: Helm, given_values: Object) -> None:
    for one in helm.template(given_values):
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_pool_is_valid_on_the_kubernetes_that_it_is_rendered_for(helm: Helm) -> None:
    for version in KUBERNETES:
        rendered_for = "1.34.9" if version in KUBERNETES[:10] else "1.35.0"
        for one in helm.template(POOL, kubernetes=rendered_for):
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("given_values", [EVERYTHING, POOL], ids=["everything", "pool"])
def test_every_helm_renders_the_same(helm: Helm, any_helm: Helm, given_values: Object) -> None:
    ours, theirs = (
        sorted(one.template(given_values, kubernetes="1.36"), key=lambda made: str(made["kind"]))
        for one in (helm, any_helm)
    )
    assert theirs == ours


@pytest.mark.parametrize("given_values", [BASE, EVERYTHING, POOL], ids=["least", "everything", "pool"])
def test_every_pod_is_allowed_under_restricted_with_a_read_only_root(helm: Helm, given_values: Object) -> None:
    specs = list(pod_specs(helm.template(given_values)))
    assert [violations(spec) for spec in specs] == [[]] * len(specs)
    containers = [one for spec in specs for one in [*spec["containers"], *spec.get("initContainers", [])]]
    assert {one["securityContext"]["readOnlyRootFilesystem"] for one in containers} == {True}
    given_resources = [one["resources"][kind] for one in containers for kind in ("requests", "limits")]
    assert all(resources.keys() >= {"cpu", "memory"} for resources in given_resources)


def test_the_check_of_pod_security_sees_what_is_forbidden(helm: Helm) -> None:
    loose = {
        "podSecurityContext": {
            "runAsNonRoot": False,
            "runAsUser": 0,
            "seccompProfile": None,
            "sysctls": [{"name": "a"}],
        },
        "securityContext": {
            "allowPrivilegeEscalation": True,
            "privileged": True,
            "capabilities": {"drop": [], "add": ["SYS_ADMIN"]},
            "procMount": "Unmasked",
            "seLinuxOptions": {"type": "spc_t"},
        },
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    }
    assert violations(helm.render(loose)["PodTemplate"]["template"]["spec"]) == [
        "allowPrivilegeEscalation",
        "capabilities",
        "privileged",
        "procMount",
        "runAsNonRoot",
        "runAsUser",
        "seLinuxOptions",
        "seccompProfile",
        "sysctls",
        "volume type",
    ]


@settings(quick, max_examples=25)
@given(tree=plain_values, version=st.sampled_from(KUBERNETES))
def test_whatever_the_schema_accepts_renders_to_valid_restricted_objects(helm: Helm, tree: Any, version: str) -> None:
    tree = values.merge(tree, {"image": BASE["image"]})
    objects = helm.template(tree, namespace=tree.get("namespace") or "podenv-etl", kubernetes=version)
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)
    assert [violations(spec) for spec in pod_specs(objects)] == [[]] * len(list(pod_specs(objects)))


# ── Cloud metadata ───────────────────────────────────────────────────────────────────────────────────────────────────

METADATA = [
    "169.254.169.254",
    "100.100.100.200",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fe80::a9fe:a9fe",
]


@cache
def blocks_that_hold(address: str) -> list[str]:
    bits = ip_address(address).max_prefixlen
    return [str(ip_network(f"{address}/{prefix}", strict=False)) for prefix in range(bits + 1)]


cidrs = (
    st.sampled_from([block for address in METADATA for block in blocks_that_hold(address)])
    | st.builds(lambda address, prefix: f"{address}/{prefix}", st.ip_addresses(v=4).map(str), st.integers(0, 32))
    | st.builds(lambda address, prefix: f"{address}/{prefix}", st.ip_addresses(v=6).map(str), st.integers(0, 128))
    | st.builds(
        lambda address, prefix: f"{address.exploded.upper()}/{prefix}", st.ip_addresses(v=6), st.integers(0, 128)
    )
)


@settings(quick, max_examples=6)
@given(blocks=st.lists(cidrs, min_size=50, max_size=50))
@example(blocks=[block for address in METADATA for block in blocks_that_hold(address)[::3]])
def test_no_block_reaches_a_metadata_address_unless_it_is_one(helm: Helm, blocks: list[str]) -> None:
    policy = {"enabled": True, "egress": [{"cidr": block} for block in blocks]}
    rules = helm.render({"networkPolicy": policy})["NetworkPolicy"]["spec"]["egress"][1:]
    peers = [rule["to"][0]["ipBlock"] for rule in rules]
    assert [peer["cidr"] for peer in peers] == blocks
    for peer in peers:
        network = ip_network(peer["cidr"], strict=False)
        inside = [one for one in METADATA if ip_address(one) in network and network.prefixlen < network.max_prefixlen]
        assert peer.get("except", []) == [f"{one}/{network.max_prefixlen}" for one in inside]


def test_only_dns_and_the_list_can_be_reached_and_nobody_gets_in(helm: Helm) -> None:
    given_values = {
        "networkPolicy": {
            "enabled": True,
            "egress": [
                {"cidr": "10.0.0.0/8", "ports": [{"port": 5432}, {"port": 8000, "endPort": 8010, "protocol": "UDP"}]},
                {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "cache"}}, "ports": [{"port": "web"}]},
            ],
        }
    }
    assert helm.render(given_values)["NetworkPolicy"]["spec"] == {
        "podSelector": {"matchLabels": {"podenv.dev/environment": "etl"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [
            {
                "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            },
            {
                "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
                "ports": [
                    {"port": 5432, "protocol": "TCP"},
                    {"port": 8000, "endPort": 8010, "protocol": "UDP"},
                ],
            },
            {
                "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "cache"}}}],
                "ports": [{"port": "web", "protocol": "TCP"}],
            },
        ],
    }


def test_an_empty_allow_list_closes_everything(helm: Helm) -> None:
    policy = helm.render({"networkPolicy": {"enabled": True, "dns": []}})["NetworkPolicy"]
    assert policy["spec"]["egress"] == []
    assert "NetworkPolicy" not in helm.render({"networkPolicy": {"enabled": False, "egress": [{"cidr": "::/0"}]}})
