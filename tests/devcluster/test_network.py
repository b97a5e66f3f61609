import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster import network
from devcluster.errors import DevClusterError
from devcluster.network import Network


def test_the_first_free_subnet_is_taken() -> None:
    assert network.choose(["192.168.1.0/24", "127.0.0.1"]) == Network("10.211")
    assert network.choose(["10.211.7.0/24", "10.212.0.1"]) == Network("10.213")


def test_a_machine_whose_routes_cover_every_candidate_gets_one_clear_error() -> None:
    with pytest.raises(
        DevClusterError, match=r"every subnet from 10\.211\.0\.0/16 to 10\.219\.0\.0/16 overlaps a route"
    ):
        network.choose(["10.0.0.0/8"])


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=20))
def test_a_chosen_subnet_never_overlaps_a_route(routes: list[str]) -> None:
    try:
        chosen = network.choose(routes)
    except DevClusterError:
        return
    whole = ipaddress.ip_network(f"{chosen.prefix}.0.0/16")
    assert not any(ipaddress.ip_address(route) in whole for route in routes)


def test_addresses_lie_in_the_subnets_they_belong_to() -> None:
    net = Network("10.211")
    assert ipaddress.ip_address(net.node) in ipaddress.ip_network(net.pods)
    assert next(ipaddress.ip_network(net.services).hosts()) == ipaddress.ip_address(net.api_service)
    assert not ipaddress.ip_network(net.services).overlaps(ipaddress.ip_network(net.pods))


def test_only_marked_rules_are_taken_for_ours() -> None:
    saved = (
        "*nat\n:POSTROUTING ACCEPT [0:0]\n"
        "-A POSTROUTING -s 10.211.0.0/24 ! -o podenv-dev0 -m comment --comment podenv-dev-cluster -j MASQUERADE\n"
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
        '-A POSTROUTING -m comment --comment "not podenv-dev-cluster-2" -j ACCEPT\n'
        "COMMIT\n"
    )
    mark = ["-m", "comment", "--comment", "podenv-dev-cluster"]
    assert network.marked(saved) == [
        ["POSTROUTING", "-s", "10.211.0.0/24", "!", "-o", "podenv-dev0", *mark, "-j", "MASQUERADE"]
    ]


def test_no_rule_opens_a_port_to_other_machines() -> None:
    accepting = [rule for rule in network.rules(Network("10.211"), 6443) if rule[-1] == "ACCEPT"]
    assert accepting == [
        ["filter", "FORWARD", "-i", "podenv-dev0", "-j", "ACCEPT"],
        [
            "filter",
            "FORWARD",
            "-o",
            "podenv-dev0",
            "-m",
            "conntrack",
            "--ctstate",
            "RELATED,ESTABLISHED",
            "-j",
            "ACCEPT",
        ],
    ]


def test_the_pods_network_is_a_bridge_without_host_ports() -> None:
    config = json.loads(network.cni_config(Network("10.211"), Path("/state")))
    assert [plugin["type"] for plugin in config["plugins"]] == ["bridge"]
    assert config["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.211.0.0/24", "gateway": "10.211.0.1"}]]
