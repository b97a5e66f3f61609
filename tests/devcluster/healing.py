"""Break the dev cluster of this machine in every known way and see that `up` mends it; run by hand, as root:

    python3 tests/devcluster/healing.py            # all
    python3 tests/devcluster/healing.py 'a reboot' # some scenes, on the cluster that is up

Everything on the cluster is lost. Needs a cache from an earlier `up`. Prints one line a scene, with the time that
`up` took; ends with 1 at the first scene that fails.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from devcluster import images, network, supervisor, tools
from devcluster.places import Places

SCRIPT = Path(__file__).parents[2] / "scripts" / "dev-cluster"
PLACES = Places.from_environment(os.environ)
SETTINGS = ("net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
REACH = f"import socket; socket.create_connection(('{network.API_SERVICE}', 443), 5)"
POD = ["run", "survivor", "--image", images.BASES["bookworm"].reference, "--command", "--"]
POD += ["python3", "-c", "import time; time.sleep(1e6)"]


def run(*argv: str | Path, code: int | None = 0, stdin: str = "") -> str:
    """What a program says; it must end with `code`."""
    environ = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(argv, env=environ, input=stdin, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert code in (done.returncode, None), f"{argv} ended with {done.returncode}:\n{said}"
    return said


kubectl = partial(run, tools.folder(PLACES) / "kubectl", f"--kubeconfig={PLACES.kubeconfig}")


def run_pod() -> None:
    """The survivor runs, newly made or still, and reaches the API server."""
    kubectl(*POD, code=None)
    deadline = time.monotonic() + 90
    while said := kubectl("exec", "survivor", "--", "python3", "-c", REACH, code=None):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


def snapshot() -> dict[str, object]:
    """What `down` must leave as it was before the first `up`."""
    folders = ("/sys/class/net", "/run/netns", "/var/log/pods", "/var/log/containers")
    return {
        "rules": [line for line in run("iptables-save").splitlines() if line.startswith("-A")],
        "files": sorted(str(path) for folder in folders for path in Path(folder).glob("*")),
        "mounts": Path("/proc/mounts").read_text(),
        "groups": [path for path in supervisor.group_folders() if path.exists()],
        "settings": [Path("/proc/sys", name).read_text() for name in SETTINGS],
        "state": [path.name for path in PLACES.state.glob("*") if path != PLACES.registry],
        "processes": run("pgrep", "--full", f"{PLACES.state}|{PLACES.cache}", code=None),
    }


def leaves_nothing(before: dict[str, object], what: str) -> None:
    now = snapshot()
    left = {name: (found, now[name]) for name, found in before.items() if found != now[name]}
    assert not left, f"{what} left something: {left}"


def signalled(name: str, number: int) -> None:
    os.kill(supervisor.pids(PLACES)[name], number)


def the_supervisor_is_killed() -> None:
    for pid in supervisor.processes():
        if Path(f"/proc/{pid}/comm").read_text().startswith("runsv"):
            os.kill(pid, signal.SIGKILL)


def the_rules_are_gone() -> None:
    run("iptables-restore", "--noflush", stdin=network.removal(run("iptables-save")))


def the_machine_was_rebooted() -> None:
    supervisor.end()
    network.take_down()


SCENES: dict[str, Callable[[], object]] = {
    "kill -9 of everything": supervisor.end,
    **{
        f"kill -9 of {name}": partial(signalled, name, signal.SIGKILL)
        for name in ("etcd", "apiserver", "containerd", "kubelet", "registry", "store")
    },
    "an etcd that does not answer": partial(signalled, "etcd", signal.SIGSTOP),
    "kill -9 of the supervisor": the_supervisor_is_killed,
    "the link removed": partial(run, "ip", "link", "delete", network.LINK),
    "the rules removed": the_rules_are_gone,
    "a reboot": the_machine_was_rebooted,
}


def timed(what: str, *words: str) -> None:
    begin = time.monotonic()
    run(SCRIPT, *words)
    print(f"{time.monotonic() - begin:6.1f} s  {what}", flush=True)


def down_leaves_nothing() -> None:
    run(SCRIPT, "down")
    before = snapshot()
    timed("up from the cache", "up")
    run_pod()
    timed("down with a pod running", "down")
    leaves_nothing(before, "down")
    with socket.create_server(("127.0.0.1", 5000)):
        said = run(SCRIPT, "up", code=1)
        assert re.search(rf"port 5000, which registry needs, is held by python.* \(pid {os.getpid()}\)", said), said
    leaves_nothing(before, "a refused up")


def two_ups_take_turns() -> None:
    both = [subprocess.Popen([SCRIPT, "up"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    words = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], words
    assert sum("is at work; waiting for it" in text for text in words) == 1, words


if __name__ == "__main__":
    if not sys.argv[1:]:
        down_leaves_nothing()
        two_ups_take_turns()
    for what in sys.argv[1:] or SCENES:
        SCENES[what]()
        timed(f"up after: {what}", "up")
        run_pod()
    kubectl("delete", "pod", "survivor", "--wait=false")
