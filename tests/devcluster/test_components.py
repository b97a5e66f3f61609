"""What is promised of every component, seen in the words that it is started with."""

import json
from pathlib import Path

import pytest

from devcluster import config
from devcluster.components import Component, all_components
from devcluster.network import Network
from devcluster.places import Places

NET = Network("10.211")
PLACES = Places(cache=Path("/cache"), state=Path("/state"))
COMPONENTS = {part.name: part for part in all_components(PLACES, NET, Path("/cache/kubernetes/1.20.2"))}


def test_the_components_are_those_of_a_whole_cluster() -> None:
    assert list(COMPONENTS) == [
        "registry",
        "store",
        "containerd",
        "etcd",
        "apiserver",
        "controllers",
        "scheduler",
        "kubelet",
    ]


def test_everything_listens_on_loopback_or_on_the_link_that_leads_nowhere() -> None:
    assert {name: ", ".join(part.listens) for name, part in COMPONENTS.items()} == {
        "registry": "127.0.0.1:5000",
        "store": "10.211.0.1:5002",
        "containerd": "127.0.0.1:10010, /state/containerd/containerd.sock",
        "etcd": "127.0.0.1:12379, 127.0.0.1:12380",
        "apiserver": "127.0.0.1:6443",
        "controllers": "127.0.0.1:10257",
        "scheduler": "127.0.0.1:10259",
        "kubelet": "10.211.0.1:10250, 127.0.0.1:10248",
    }


@pytest.mark.parametrize("name", ["etcd", "apiserver", "controllers", "scheduler"])
def test_the_addresses_in_the_flags_are_those_that_are_promised(name: str) -> None:
    flags = flags_of(COMPONENTS[name])
    told = {
        value for flag, value in flags.items() if flag in ("bind-address", "listen-client-urls", "listen-peer-urls")
    }
    assert told in ({"127.0.0.1"}, {"https://127.0.0.1:12379", "https://127.0.0.1:12380"})
    assert flags.get("insecure-port", "0") == "0"
    assert flags.get("port", "0") == "0"


def test_the_kubelet_listens_where_it_is_promised_and_asks_who_is_there() -> None:
    settings = json.loads(config.kubelet(PLACES, NET, "/etc/resolv.conf"))
    assert (settings["address"], settings["port"]) == ("10.211.0.1", 10250)
    assert settings["healthzBindAddress"] == "127.0.0.1"
    assert settings["authentication"]["anonymous"] == {"enabled": False}
    assert settings["authorization"] == {"mode": "Webhook"}
    assert settings["makeIPTablesUtilChains"] is False


def test_a_proxy_reaches_containerd_only() -> None:
    environ = {"HTTPS_PROXY": "http://proxy.example:3128", "SSL_CERT_FILE": "/ca.pem", "SECRET": "no"}
    outward = {name: part.environment(environ) for name, part in COMPONENTS.items()}
    assert {name for name, env in outward.items() if "HTTPS_PROXY" in env} == {"containerd"}
    assert set(outward["containerd"]) == {"PATH", "HOME", "HTTPS_PROXY", "SSL_CERT_FILE"}
    assert set(outward["kubelet"]) == {"PATH", "HOME"}


def test_every_process_names_a_path_of_the_state_folder_so_that_it_can_be_found_without_a_record() -> None:
    for part in COMPONENTS.values():
        assert part.argv[0].startswith("/cache/")
        assert any("/state/" in word for word in part.argv)


def test_containerd_reads_the_local_registry_over_plain_http_and_our_own_pause() -> None:
    text = config.containerd(PLACES)
    assert 'sandbox_image = "127.0.0.1:5000/podenv/pause:1"' in text
    assert "restrict_oom_score_adj = true" in text
    assert 'root = "/state/containerd/root"' in text
    assert config.registry_hosts() == 'server = "http://127.0.0.1:5000"\n\n[host."http://127.0.0.1:5000"]\n'


def flags_of(part: Component) -> dict[str, str]:
    pairs = (word.removeprefix("--").partition("=") for word in part.argv[1:])
    return {name: value for name, _, value in pairs}
