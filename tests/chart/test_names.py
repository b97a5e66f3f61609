"""`_names.tpl` and `names.py` say the same."""

import re
from importlib import metadata

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.chart.helm import BASE, CHART, DIGEST, Helm

from podenv.catalogue import names, values


def test_the_chart_and_podenv_have_one_version() -> None:
    meta = values.read(CHART / "Chart.yaml")
    assert meta["version"] == meta["appVersion"] == metadata.version("podenv")


environments = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(name=environments)
def test_the_chart_names_things_as_podenv_does(helm: Helm, name: str) -> None:
    namespace = names.namespace(name)
    given_values = {
        "access": {"users": ["jane"]},
        "prePull": {"enabled": True},
        "warm": {"idle": 1},
        "networkPolicy": {"enabled": True},
        "resourceQuota": {"hard": {"pods": 1}},
        "image": {"repository": None},
        "lock": {"hash": "ab" * 32},
    }
    found = helm.render(given_values, release=names.release(name), namespace=namespace, kubernetes="1.35")

    main = {"PodTemplate", "ServiceAccount", "NetworkPolicy", "ResourceQuota", "LimitRange"}
    expected = dict.fromkeys(main, name) | {
        "Role": names.part(name, "launcher"),
        "RoleBinding": names.part(name, "launcher"),
        "DaemonSet": names.part(name, "pre-pull"),
        "Deployment": names.part(name, "warm"),
        "Pod": names.part(name, "test"),
    }
    assert {kind: one["metadata"]["name"] for kind, one in found.items()} == expected
    assert {one["metadata"]["namespace"] for one in found.values()} == {namespace}
    for one in found.values():
        assert one["metadata"]["labels"].items() >= names.labels(name).items()

    template = found["PodTemplate"]["template"]
    assert template["metadata"]["labels"].items() >= names.selector(name).items()
    assert template["metadata"]["labels"][names.DIGEST_LABEL] == names.digest_label(DIGEST)
    idle = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert idle.items() >= {names.WARM_LABEL: name, **names.selector(name, "warm")}.items()
    assert re.fullmatch("[0-9a-f]{64}", found["PodTemplate"]["metadata"]["annotations"].pop(names.INPUTS_ANNOTATION))
    assert found["PodTemplate"]["metadata"]["annotations"] == {
        names.WARM_ANNOTATION: idle[names.TEMPLATE_LABEL],
        names.PYTHON_ANNOTATION: "3.11",
        names.DIGEST_ANNOTATION: DIGEST,
        names.LOCK_ANNOTATION: "ab" * 32,
        names.VERSION_ANNOTATION: "0.1.0",
    }
    assert found["DaemonSet"]["spec"]["selector"] == {"matchLabels": names.selector(name, "pre-pull")}
    assert found["Pod"]["metadata"]["labels"].items() >= names.selector(name, "test").items()
    image = template["spec"]["containers"][0]["image"]
    assert image == f"{BASE['image']['registry']}/{names.image_repository(name)}@{DIGEST}"
