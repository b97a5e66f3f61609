"""The page in Chromium, with Airflow's UI around it, in one process; prints what a person would see as JSON.

Run with a network namespace of its own: what pods do to the machine's links ends a browser's connections.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Frame, Page, sync_playwright
from tests.ui.conftest import fill_home

CHROMIUM = "/usr/bin/chromium"
BELOW = "/team/airflow"
AROUND = """() => {
    const one = document.createElement("p");
    one.style.background = "var(--chakra-colors-bg)";
    document.body.append(one);
    const seen = getComputedStyle(one).backgroundColor;
    one.remove();
    return seen;
}"""


def serve(project: Path) -> str:
    """The address of Airflow, below a path, which runs until this process ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{BELOW}"
    os.environ |= {
        "AIRFLOW__API__BASE_URL": url,  # before the database's modules read it, for good
        "PODENV_CATALOGUE": str(project / "envs"),
        "KUBECONFIG": str(project / "absent"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }
    from podenv.airflow.ui.server import serve
    from podenv.dagrun import home

    home.ensure_database()
    fill_home(project)
    ready = threading.Event()

    def run() -> None:
        import signal

        signal.signal = lambda *_: None  # a thread may set none
        serve(listener, ready.set, below=BELOW)

    threading.Thread(target=run, daemon=True).start()
    assert ready.wait(120)
    return url


def link() -> str:
    """Where the link of the failed run leads."""
    from podenv.airflow.link import EnvironmentLink

    key: Any = SimpleNamespace(dag_id="report", run_id="manual__1+00:00", task_id="total", map_index=-1)
    return EnvironmentLink().get_link(key, ti_key=key)


def frame_of(page: Page) -> Frame:
    """The page of podenv, once it is there."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = next((one for one in page.frames[1:] if "/podenv/" in one.url), None)
        if found is not None and found.query_selector("h1"):
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"no page of podenv at {page.url}: {[one.url for one in page.frames]}")


def colour(frame: Frame) -> str:
    """The background that a person sees."""
    return str(frame.evaluate("getComputedStyle(document.body).backgroundColor"))


def problems(frame: Frame) -> list[str]:
    """What axe-core finds that is serious."""
    frame.evaluate(AXE_SCRIPT)
    found = frame.evaluate("axe.run(document, {resultTypes: ['violations']})")
    grave = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in grave]


def look(url: str, pictures: Path) -> dict[str, Any]:
    """What is seen on the way."""
    seen: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, permissions=["clipboard-read"])
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(f"{url}/")
        page.get_by_role("button", name="Browse").click()
        page.get_by_role("menuitem", name="Environments").click()
        frame = frame_of(page)
        frame.wait_for_selector("text=not known")
        seen["list"] = frame.inner_text("main")
        seen["list problems"] = problems(frame)
        page.screenshot(path=pictures / "list.png")

        frame.focus("a >> text=reporting")
        page.keyboard.press("Enter")
        frame.wait_for_selector("text=Packages of the lock")
        page.reload()
        frame = frame_of(page)
        seen["reloaded"], seen["address"] = frame.inner_text("h1"), page.url.removeprefix(url)
        frame.wait_for_selector("text=The releases are not known here")
        frame.click("button.copy >> nth=0")
        seen["copied"] = page.evaluate("navigator.clipboard.readText()")
        seen["environment problems"] = problems(frame)
        page.screenshot(path=pictures / "environment.png")

        page.goto(f"{url}/{link()}")
        frame = frame_of(page)
        seen["run"] = frame.inner_text("main")
        seen["run problems"] = problems(frame)
        seen["light"] = colour(frame)
        page.evaluate("localStorage.setItem('theme', 'dark')")
        page.reload()
        frame = frame_of(page)
        seen["dark"] = colour(frame)
        seen["around"] = page.evaluate(AROUND)
        seen["dark problems"] = problems(frame)
        page.screenshot(path=pictures / "run-dark.png")

        page.goto(f"{url}/dags/report/tasks/total/plugin/environment-task")
        frame = frame_of(page)
        frame.click("a.airflow >> text=manual__1")
        page.wait_for_url(lambda address: "/runs/manual__1" in address)
        seen["led to"] = page.url.removeprefix(url)

        page.set_viewport_size({"width": 360, "height": 700})
        page.goto(f"{url}/podenv/env/reporting")
        seen["narrow"] = page.evaluate("document.documentElement.scrollWidth")
        page.screenshot(path=pictures / "narrow.png")
        seen["errors"] = [one for one in said if "podenv" in one]
        browser.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(look(serve(Path(sys.argv[1])), Path(sys.argv[2]))))
    sys.stdout.flush()
    os._exit(0)
