"""The files of one cluster, as the programs that read them see them."""

import json
from pathlib import Path

import pytest

from devcluster import components, config, network
from devcluster.errors import DevClusterError
from devcluster.places import Places


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A state folder with all files, of a machine with a proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128/?a=b c")
    made = Places(tmp_path / "cache", tmp_path / "state")
    config.write(made)
    return made


def test_every_component_has_a_service_and_listens_on_loopback_or_on_the_link_that_leads_nowhere(
    places: Places,
) -> None:
    assert {path.name for path in places.services.iterdir()} == components.SERVICES.keys()
    addresses = {place.partition(":")[0] for listens in components.SERVICES.values() for place in listens}
    assert addresses == {"127.0.0.1", network.NODE}


def test_only_the_owner_reads_what_is_secret(places: Places) -> None:
    secrets = [*places.config.glob("*.kubeconfig"), places.kubeconfig, places.config / "tokens.csv"]
    for file in [*secrets, places.state / "cluster.key"]:
        assert file.stat().st_mode & 0o077 == 0, file
    tokens = {line.split(",")[0] for line in (places.config / "tokens.csv").read_text().splitlines()}
    assert tokens == {file.read_text().split("token: ")[1].split("}")[0] for file in secrets[:-1]}


def test_a_proxy_reaches_containerd_only(places: Places) -> None:
    files = [path for path in places.state.rglob("*") if path.is_file() and "proxy.example" in path.read_text()]
    assert files == [places.services / "containerd" / "run"]
    assert "export HTTPS_PROXY='http://proxy.example:3128/?a=b c'\n" in files[0].read_text()


def test_no_rule_opens_a_port_to_other_machines(places: Places) -> None:
    rules = (places.config / "rules").read_text().splitlines()
    mark = "-m comment --comment podenv-dev-cluster"
    assert [rule for rule in rules if "ACCEPT" in rule] == [
        f"-I FORWARD 1 -i podenv-dev0 -j ACCEPT {mark}",
        f"-I FORWARD 2 -o podenv-dev0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT {mark}",
    ]


def test_only_marked_rules_are_removed() -> None:
    saved = (
        "*nat\n:POSTROUTING ACCEPT [0:0]\n"
        "-A POSTROUTING -s 10.211.0.0/24 ! -o podenv-dev0 -m comment --comment podenv-dev-cluster -j MASQUERADE\n"
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
        '-A POSTROUTING -m comment --comment "not podenv-dev-cluster-2" -j ACCEPT\n'
        "COMMIT\n"
    )
    assert network.removal(saved) == (
        "*nat\n"
        "-D POSTROUTING -s 10.211.0.0/24 ! -o podenv-dev0 -m comment --comment podenv-dev-cluster -j MASQUERADE\n"
        "COMMIT\n"
    )


@pytest.mark.parametrize("device", ["tun0", network.LINK])
def test_a_route_to_the_clusters_addresses_is_refused_unless_it_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "10.212.0.0/16", "dev": "eth0"}]
    program = tmp_path / "ip"
    program.write_text(f"#!/bin/sh\necho '{json.dumps([*routes, {'dst': '10.0.0.0/8', 'dev': device}])}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if device == network.LINK:
        network.refuse_taken()
        return
    with pytest.raises(DevClusterError, match=r"^the route to 10\.0\.0\.0/8 \(device tun0\) overlaps 10\.211\.0\.0/16"):
        network.refuse_taken()
