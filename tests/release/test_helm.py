from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from podenv import errors
from podenv.errors import HelmUnsupported
from podenv.release import helm
from podenv.release.helm import Helm


@pytest.fixture
def fake_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A helm that writes down what it was given; its version and what it says are in files."""
    program = tmp_path / "helm"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, pathlib, sys\nhere = pathlib.Path(__file__).parent\n"
        "if 'version' in sys.argv: print((here / 'version').read_text()); sys.exit()\n"
        "(here / 'argv').write_text(json.dumps(sys.argv[1:])); (here / 'stdin').write_bytes(sys.stdin.buffer.read())\n"
        "(here / 'environ').write_text(json.dumps(dict(os.environ)))\n"
        "sys.stderr.write((here / 'stderr').read_text()); print('{\"version\": 1}')\n"
        "sys.exit(int((here / 'code').read_text()))\n"
    )
    program.chmod(0o755)
    for name, text in (("version", "v4.1.4"), ("stderr", ""), ("code", "0")):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PODENV_HELM", str(program))
    helm._version.cache_clear()
    return tmp_path


def test_values_travel_on_stdin_as_utf_8_and_helm_is_not_led_elsewhere(
    fake_helm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM_KUBECONTEXT", "other")
    monkeypatch.setenv("HELM_DRIVER", "configmap")
    program = Helm("etl", "ns", context="here", secrets=["hunter2"])
    asyncio.run(program.upgrade(Path("chart"), {"env": {"A": "✨", "TOKEN": "hunter2"}}, revision=7))
    argv = json.loads((fake_helm / "argv").read_text())
    assert argv[:3] == ["upgrade", "etl", "chart"]
    assert argv[-2:] == ["--kube-context", "here"]
    assert {"--labels", "podenv.dev/revision=7", "--namespace", "ns", "--wait=hookOnly"} <= set(argv)
    assert "hunter2" not in str(argv)
    assert (fake_helm / "stdin").read_text() == '{"env": {"A": "✨", "TOKEN": "hunter2"}}'
    environ = json.loads((fake_helm / "environ").read_text())
    assert "HELM_KUBECONTEXT" not in environ
    assert environ["HELM_DRIVER"] == "secret"


def test_a_dry_run_does_not_fetch_the_servers_openapi_schema(fake_helm: Path) -> None:
    asyncio.run(Helm("etl", "ns").preview(Path("chart"), {}))
    argv = json.loads((fake_helm / "argv").read_text())
    assert {"--dry-run=server", "--disable-openapi-validation"} <= set(argv)


def test_what_is_rendered_without_a_cluster_is_for_the_kubernetes_that_is_named(fake_helm: Path) -> None:
    asyncio.run(Helm("etl", "ns").render(Path("chart"), {}, "v1.34.1"))
    argv = json.loads((fake_helm / "argv").read_text())
    assert argv[argv.index("--kube-version") + 1] == "v1.34.1"
    asyncio.run(Helm("etl", "ns").render(Path("chart"), {}))
    assert "--kube-version" not in json.loads((fake_helm / "argv").read_text())


def test_a_secret_is_not_in_an_error_and_warnings_are_kept(fake_helm: Path) -> None:
    program = Helm("etl", "ns", secrets=["hunter2"])
    (fake_helm / "stderr").write_text(
        'level=WARN msg="would violate PodSecurity \\"restricted:latest\\""\n'
        'level=WARN msg="extensions/v1beta1 \\"Ingress\\" is deprecated"\n'
    )
    asyncio.run(program.upgrade(Path("chart"), {}, revision=7))
    assert program.warnings == [
        'would violate PodSecurity "restricted:latest"',
        'extensions/v1beta1 "Ingress" is deprecated',
    ]
    (fake_helm / "stderr").write_text("Error: execution error at (x): bad value hunter2\n")
    (fake_helm / "code").write_text("1")
    with pytest.raises(errors.ValuesRefused, match=r"bad value \*\*\*") as caught:
        asyncio.run(program.upgrade(Path("chart"), {}, revision=7))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("version", ["v3.20.0", "v4.0.9", "v5.0.0", "what"])
def test_a_helm_that_is_too_old_or_too_new_is_refused(fake_helm: Path, version: str) -> None:
    (fake_helm / "version").write_text(version)
    with pytest.raises(HelmUnsupported, match=r"Get helm 4\.1 or newer"):
        helm.find()
