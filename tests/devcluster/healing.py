"""Break the dev cluster of this machine in every known way and see that `up` mends it; run by hand, as root:

    python3 tests/devcluster/healing.py

Everything on the cluster is lost. Needs a cache from an earlier `up`. Prints one line a scene, with the time that
`up` took; ends with 1 at the first scene that fails.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from devcluster import images, machine, network, supervisor
from devcluster.places import Places

SCRIPT = Path(__file__).parents[2] / "scripts" / "dev-cluster"
PLACES = Places.from_environment(os.environ)
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "survivor"},
    "spec": {
        "dnsPolicy": "Default",
        "containers": [
            {
                "name": "main",
                "image": images.BASES["bookworm"].reference,
                "command": ["python3", "-c", "import time; time.sleep(1e6)"],
                "resources": {"limits": {"memory": "64Mi"}},
            }
        ],
    },
}


def dev_cluster(*words: str, code: int = 0) -> str:
    """Run the command; what it said. The code must be the expected one."""
    environ = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    argv = [str(SCRIPT), *words]
    done = subprocess.run(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def kubectl(*words: str, stdin: str = "") -> str:
    argv = [str(PLACES.bin / "kubectl"), f"--kubeconfig={PLACES.kubeconfig}", *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True).stdout


def run_pod() -> None:
    """The survivor runs, newly made or still."""
    kubectl("apply", "-f", "-", stdin=json.dumps(POD))
    kubectl("wait", "--for=condition=Ready", "pod/survivor", "--timeout=90s")
    reach = "import socket; socket.create_connection(('10.211.254.1', 443), 5)".replace("10.211", prefix())
    deadline = time.monotonic() + 30
    while True:
        # Ready may still be what the API server heard of the pod's life before.
        try:
            kubectl("exec", "survivor", "--", "python3", "-c", reach)
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def prefix() -> str:
    return str(json.loads((PLACES.state / "cluster.json").read_text())["prefix"])


def snapshot() -> dict[str, object]:
    """What `down` must leave as it was before the first `up`."""
    tables = [
        subprocess.run(["iptables-save", "-t", t], capture_output=True, text=True).stdout for t in ("nat", "filter")
    ]
    rules = [line for table in tables for line in table.splitlines() if line.startswith("-A")]
    kept = [path.name for folder in ("pods", "containers") for path in Path("/var/log", folder).glob("*")]
    return {
        "rules": rules,
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "groups": [str(path) for path in machine.group_folders() if path.exists()],
        "settings": machine.read_settings(),
        "logs": sorted(kept),
        "state": sorted(path.name for path in PLACES.state.glob("*") if path.name not in ("lock", "registry")),
        "processes": len(supervisor.processes(PLACES)),
    }


def everything_is_killed() -> None:
    supervisor.end(PLACES)


def one_component_is_killed(name: str) -> Callable[[], None]:
    return lambda: os.kill(supervisor.pids(PLACES)[name], signal.SIGKILL)


def one_component_does_not_answer() -> None:
    os.kill(supervisor.pids(PLACES)["etcd"], signal.SIGSTOP)


def the_machine_was_rebooted() -> None:
    supervisor.end(PLACES)
    network.take_down()
    machine.remove_group()
    record = PLACES.state / "cluster.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"boot": "an earlier one"}))


def the_supervisor_is_killed() -> None:
    for pid in supervisor.processes(PLACES):
        if Path(f"/proc/{pid}/comm").read_text().startswith("runsv"):
            os.kill(pid, signal.SIGKILL)


def the_cluster_was_half_made() -> None:
    (PLACES.state / "cluster.json").unlink()


def a_mount_is_stale() -> None:
    supervisor.end(PLACES)
    stale = PLACES.state / "kubelet" / "pods" / "stale" / "volumes"
    stale.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", stale], check=True)
    (PLACES.state / "cluster.json").unlink()


def the_link_is_gone() -> None:
    subprocess.run(["ip", "link", "delete", network.LINK], check=True)


def the_rules_are_gone() -> None:
    for table in ("filter", "nat"):
        saved = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=True).stdout
        for rule in network.marked(saved):
            subprocess.run(["iptables", "--wait", "-t", table, "-D", *rule], check=True)


def a_build_was_cut_short() -> None:
    for folder in (
        PLACES.cache / "kubernetes-build" / "kubernetes-1.20",
        PLACES.cache / "kubernetes" / ".making-1.20.2",
    ):
        folder.mkdir(parents=True, exist_ok=True)
    (PLACES.cache / "kubernetes" / ".making-1.20.2" / "kubelet").write_text("half")
    supervisor.end(PLACES)


SCENES: dict[str, Callable[[], None]] = {
    "kill -9 of everything": everything_is_killed,
    **{
        f"kill -9 of {name}": one_component_is_killed(name)
        for name in ("etcd", "apiserver", "containerd", "kubelet", "registry", "store")
    },
    "an etcd that does not answer": one_component_does_not_answer,
    "kill -9 of the supervisor": the_supervisor_is_killed,
    "a half-made cluster, processes running": the_cluster_was_half_made,
    "a stale mount": a_mount_is_stale,
    "the link removed": the_link_is_gone,
    "the rules removed": the_rules_are_gone,
    "a half-finished build": a_build_was_cut_short,
    "a reboot": the_machine_was_rebooted,
}


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


def timed(what: str, *words: str) -> None:
    begin = time.monotonic()
    dev_cluster(*words)
    print(f"{time.monotonic() - begin:6.1f} s  {what}", flush=True)


def main() -> None:
    dev_cluster("down")
    before = snapshot()
    timed("up from the cache", "up")
    timed("up again", "up")
    for what, scene in SCENES.items():
        scene()
        timed(f"up after: {what}", "up")
        run_pod()
    timed("down with a pod running", "down")
    assert snapshot() == before, f"down left something:\n{before}\n{snapshot()}"
    with taken(5000):
        said = dev_cluster("up", code=1)
        assert f"port 5000, which registry needs, is held by python3 (pid {os.getpid()})" in said, said
    timed("up after: a port in use, now free", "up")
    supervisor.end(PLACES)
    timed("down after kill -9 of everything", "down")
    assert snapshot() == before, f"down left something:\n{before}\n{snapshot()}"
    begin = time.monotonic()
    both = [subprocess.Popen([SCRIPT, "up"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    words = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], words
    assert sum("is at work; waiting for it" in text for text in words) == 1, words
    print(f"{time.monotonic() - begin:6.1f} s  two ups at once")
    run_pod()
    kubectl("delete", "pod", "survivor", "--wait=false")


if __name__ == "__main__":
    main()
