from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.catalogue.automemory import NEEDS_CAP, AutoMemory, Defaults, settled
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.placeholders import fill
from podenv.catalogue.spec import EnvironmentSpec, json_schema
from podenv.catalogue.spec.warm import Warm
from podenv.errors import CatalogueNotFound, InvalidName, UnknownEnvironment, ValuesError


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODENV_CATALOGUE", raising=False)


def write(root: Path, name: str, text: str) -> Path:
    file = root / name / "values.yaml" if name != "defaults" else root / "defaults.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def refusal(root: Path, name: str) -> ValuesError:
    with pytest.raises(ValuesError) as caught:
        Catalogue(root)[name]
    return caught.value


def test_an_environment_is_its_values_laid_upon_the_defaults(tmp_path: Path) -> None:
    write(tmp_path, "defaults", "resources: {limits: {cpu: 1, memory: 1Gi}}\nenv: {A: x, B: x}\n")
    write(tmp_path, "etl", 'python: "3.12"\nresources: {limits: {memory: 2Gi}}\nenv: {B: null, C: "1"}\n')
    etl = Catalogue(tmp_path)["etl"]
    assert etl.python == "3.12"
    assert etl.spec.resources.limits == {"cpu": "1", "memory": "2Gi"}
    assert etl.spec.env == {"A": "x", "C": "1"}
    assert etl.values["env"] == {"A": "x", "B": None, "C": "1"}
    assert etl.requirements_in == tmp_path / "etl" / "requirements.in"
    assert etl.lock_file == tmp_path / "etl" / "requirements.txt"


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("pyton: '3.11'\n", "pyton", "there is no such key. Did you mean 'python'?"),
        ("python: '3.11'\npyton: null\n", "pyton", "there is no such key. Did you mean 'python'?"),
        (
            "python: '3.11'\nsecretEnv: {A: {name: db, key: a, kye: null}}\n",
            "secretEnv.A.kye",
            "there is no such key. Did you mean 'key'?",
        ),
        (
            "python: '3.11'\nvolumeMounts: [{name: a, mountPath: /a, readonly: true}]\n",
            "volumeMounts.0.readonly",
            "there is no such key. Did you mean 'readOnly'?",
        ),
        (
            "python: '3.11'\nhostAliases: [{ip: 10.0.0.1, hostnames: null}]\n",
            "hostAliases.0",
            "hostnames is null; in a list nothing can be removed by null: leave the key out.",
        ),
        (
            "python: '3.11'\nenvFrom: [{}]\n",
            "envFrom.0",
            "give one of secretRef or configMapRef, not 0 of them.",
        ),
        ("python: '3.11'\ntolerations: {}\n", "tolerations", "it must be a list, not {}."),
        ("python: '3.11'\nprePull: {enabled: 'yes'}\n", "prePull.enabled", "it must be true or false, not 'yes'."),
        ("python: '3.11'\ndnsPolicy: x\n", "dnsPolicy", "it must be '', 'ClusterFirst', 'Default' or 'None', not 'x'."),
        (
            "python: '3.11'\npodLabels: {podenv.dev/x: a}\n",
            "podLabels.podenv.dev/x",
            "'podenv.dev/x' is set by the chart; choose another",
        ),
        (
            "python: '3.11'\nnamespace: team\nresourceQuota: {hard: {pods: 1}}\n",
            "resourceQuota",
            "it holds for a whole namespace, and this environment shares 'team'; "
            "remove it here, and set it where the namespace is made",
        ),
        (
            "python: '3.11'\nextraObjects: [{apiVersion: v1, kind: Secret, metadata: {name: a}}]\n",
            "extraObjects.0.kind",
            "'Secret' would keep its content in the release; make it with kubectl or an operator for secrets, "
            "and refer to it",
        ),
        *(
            (
                f"python: '3.11'\naccess: {{exec: {given}}}\n",
                "access.exec",
                "it is gone: no task needs a shell in its pod any more, and the right to open one is the right to read "
                "all that the pod holds; remove the key.",
            )
            for given in ("true", "false", "null")
        ),
        (
            "python: '3.11'\nimage: {repository: 'localhost:5000/etl'}\n",
            "image.repository",
            "'localhost:5000/etl' names a registry, a tag or a digest too; these are values of their own: "
            "image.registry, image.tag, image.digest",
        ),
        ("python: '3.11'\nzzz: 1\n", "zzz", "there is no such key. `podenv schema` shows all that there are."),
        (
            "python: '3.11'\nresources: {limit: {}}\n",
            "resources.limit",
            "there is no such key. Did you mean 'limits'?",
        ),
        (
            "python: 3.10\n",
            "python",
            'a Python version must be quoted, or 3.10 is read as 3.1; write python: "3.10"',
        ),
        *(
            (
                f"python: '{version}'\n",
                "python",
                f"'{version}' is not a Python version that podenv can use; "
                'write it like "3.13": 3.8 or newer, no patch release',
            )
            for version in ("3.11.4", "3.7")
        ),
        ("description: x\n", "python", "it is missing; set it here or in defaults.yaml."),
        ("python: '3.11'\nenv: {A: 1}\n", "env.A", "it must be a text, not 1; put it in quotes."),
        (
            "python: '3.11'\nresources: {limits: {memory: 1GB}}\n",
            "resources.limits.memory",
            "'1GB' is not a Kubernetes quantity; did you mean 1Gi?",
        ),
        (
            "python: '3.11'\nresources: {limits: {memory: 512m}}\n",
            "resources.limits.memory",
            "512m is half a byte; did you mean 512Mi?",
        ),
        (
            "python: '3.11'\nresources: {requests: {cpu: 1000}}\n",
            "resources.requests.cpu",
            "1000 is 1,000 cores; did you mean 1000m?",
        ),
        (
            "python: '3.11'\nlimitRange: {max: {memory: 64}}\n",
            "limitRange.max.memory",
            "64 is 64 bytes; did you mean 64Gi?",
        ),
        (
            "python: '3.11'\nresourceQuota: {hard: {limits.memory: 256}}\n",
            "resourceQuota.hard.limits.memory",
            "256 is 256 bytes; did you mean 256Mi?",
        ),
        (
            "python: '3.11'\nresourceQuota: {hard: {pods: 1.5}}\n",
            "resourceQuota.hard.pods",
            "1.5 is not a whole number; write it like 1",
        ),
        ("python: '3.11'\ntmp: {size: 1}\n", "tmp.size", "1 is one byte; did you mean 1Gi?"),
        (
            "python: '3.11'\nvolumes: [{name: scratch, emptyDir: {sizeLimit: 512m}}]\n",
            "volumes.0.emptyDir.sizeLimit",
            "512m is half a byte; did you mean 512Mi?",
        ),
        (
            "python: '3.11'\ninitContainers: [{name: load, resources: {limits: {memory: 64}}}]\n",
            "initContainers.0.resources.limits.memory",
            "64 is 64 bytes; did you mean 64Gi?",
        ),
        (
            "python: '3.11'\nresources: {limits: {memroy: 1Gi}}\n",
            "resources.limits.memroy",
            "there is no resource 'memroy'. Did you mean 'memory'? Known are cpu, memory, ephemeral-storage, "
            "and names with a domain, like nvidia.com/gpu",
        ),
        (
            "python: '3.11'\nresources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}\n",
            "resources",
            "the request of memory (2Gi) is above its limit (1Gi); lower the request or raise the limit.",
        ),
        (
            "python: '3.11'\nwarm: {idle: -1}\n",
            "warm.idle",
            "input should be greater than or equal to 0, not -1.",
        ),
        (
            "python: '3.11'\nwarm: {idle: 2000}\n",
            "warm.idle",
            "input should be less than or equal to 1000, not 2000.",
        ),
        (
            "python: '3.11'\nwarm: {idle: 1, imports: [scikit-learn]}\n",
            "warm.imports.0",
            "'scikit-learn' is not a valid name of a module; write it like pandas or sklearn.linear_model",
        ),
        (
            "python: '3.11'\nwarm: {idle: 1}\ninitContainers: [{name: load}]\n",
            "warm",
            "its pods would run initContainers hours before their task comes; remove initContainers, or set "
            "warm.idle to 0",
        ),
        (
            "python: '3.11'\nwarm: {idle: 1}\nkueue: {queue: team-a}\n",
            "warm",
            "a task that takes an idle pod would not wait in the queue of kueue.queue; remove kueue.queue, or set "
            "warm.idle to 0",
        ),
        (
            "python: '3.11'\nwarm: {idle: null}\nresources: {limits: {memory: auto}, maxMemory: 1Gi}\n",
            "warm",
            "its pods have the memory of maxMemory, which no task with memory: auto asks for; give "
            "resources.limits.memory, or set warm.idle to 0",
        ),
        (
            "python: '3.11'\nwarm: {idle: 8}\nresources: {requests: {cpu: 250m}}\nresourceQuota: {hard: {cpu: 1}}\n",
            "warm.idle",
            "8 idle pods take 8 x 250m of cpu, and the quota has 1 (resourceQuota.hard); lower warm.idle, or raise the "
            "quota.",
        ),
        (
            "python: '3.11'\nwarm: {idle: 3}\nresources: {limits: {memory: 1Gi}}\n"
            "resourceQuota: {hard: {pods: 3, requests.memory: 2Gi}}\n",
            "warm.idle",
            "3 idle pods take 3 x 1Gi of requests.memory, and the quota has 2Gi (resourceQuota.hard); lower warm.idle, "
            "or raise the quota.",
        ),
        ("python: '3.11'\nresources: 5\n", "resources", "it must be a map of keys to values, not 5."),
        ("python: '3.11'\nresources: {limits: {memory: auto}}\n", "resources", NEEDS_CAP.rstrip(".")),
        (
            "python: '3.11'\nresources: {requests: {memory: 2Gi}, limits: {memory: auto}, maxMemory: 1Gi}\n",
            "resources",
            "the request of memory (2Gi) is above its limit (1Gi); lower the request or raise the limit.",
        ),
        (
            "python: '3.11'\nlimitRange: {max: {memory: auto}}\n",
            "limitRange.max.memory",
            "'auto' is not a Kubernetes quantity; write it like '500m' (cpu) or '2Gi' (memory)",
        ),
    ],
)
def test_a_wrong_value_names_file_key_and_remedy(tmp_path: Path, text: str, key: str, why: str) -> None:
    file = write(tmp_path, "etl", text)
    error = refusal(tmp_path, "etl")
    assert (error.file, error.key, error.why) == (file, key, why)
    assert str(error) == f"{file}: {key}: {why}"


def test_memory_that_is_auto_is_its_cap_to_all_that_do_not_learn_it(tmp_path: Path) -> None:
    write(tmp_path, "defaults", "resources: {requests: {memory: 64Mi}, limits: {memory: 1Gi}, maxMemory: 4Gi}\n")
    write(tmp_path, "etl", "python: '3.11'\nresources: {limits: {memory: auto}}\nlimitRange: {max: {memory: 2Gi}}\n")
    write(tmp_path, "given", "python: '3.11'\nresourceQuota: {hard: {limits.memory: 3Gi}}\n")
    etl, given = Catalogue(tmp_path)["etl"].resources, Catalogue(tmp_path)["given"].resources
    assert etl == Defaults({"memory": "64Mi"}, {"memory": "4Gi"}, "64Mi", "4Gi", ("2Gi",))
    assert given == Defaults({"memory": "64Mi"}, {"memory": "1Gi"}, None, "4Gi", ("3Gi",))
    assert settled(etl, None) == AutoMemory(64 * 2**20, 2 * 2**30, is_bounded=True)
    assert settled(given, "2Gi") == AutoMemory(2**30, 2 * 2**30)
    assert settled(Defaults({}, {}), "256Mi") == AutoMemory(256 * 2**20, 256 * 2**20)


def test_a_null_says_that_others_own_the_number_of_idle_pods(tmp_path: Path) -> None:
    write(tmp_path, "defaults", "warm: {idle: 3, imports: [json]}\n")
    write(tmp_path, "three", "python: '3.11'\n")
    write(tmp_path, "owned", "python: '3.11'\nwarm: {idle: null}\n")
    write(tmp_path, "none", "python: '3.11'\nwarm: null\ninitContainers: [{name: load}]\n")
    three, owned, none = (Catalogue(tmp_path)[name].spec.warm for name in ("three", "owned", "none"))
    assert (three, three.is_asked_for) == (Warm(idle=3, imports=["json"]), True)
    assert (owned, owned.is_asked_for) == (Warm(idle=None, imports=["json"]), True)
    assert (none, none.is_asked_for) == (Warm(), False)


def test_a_mistake_in_the_defaults_names_the_defaults(tmp_path: Path) -> None:
    defaults = write(tmp_path, "defaults", "resources: {limits: {memory: lots}}\n")
    write(tmp_path, "etl", "python: '3.11'\n")
    assert refusal(tmp_path, "etl").file == defaults


def test_a_mistake_in_one_environment_leaves_the_others_readable(tmp_path: Path) -> None:
    write(tmp_path, "good", "python: '3.11'\n")
    write(tmp_path, "bad", "nonsense: 1\n")
    catalogue = Catalogue(tmp_path)
    assert catalogue["good"].python == "3.11"
    assert catalogue.names() == ["bad", "good"]


def test_an_unknown_name_gets_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, "model-training", "python: '3.13'\n")
    with pytest.raises(UnknownEnvironment) as caught:
        Catalogue(tmp_path)["model-trainin"]
    assert str(caught.value) == (
        f"There is no environment 'model-trainin' in {tmp_path}. Did you mean 'model-training'? "
        "`podenv list` shows all, `podenv new model-trainin --python X.Y` makes it."
    )


def test_a_name_that_could_leave_the_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        Catalogue(tmp_path / "envs")["../etl"]
    assert "../etl" not in Catalogue(tmp_path)


def test_folders_without_values_are_no_environments(tmp_path: Path) -> None:
    write(tmp_path, "a", "python: '3.11'\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / ".git").mkdir()
    assert Catalogue(tmp_path).names() == ["a"]
    assert len(Catalogue(tmp_path)) == 1
    assert Catalogue(tmp_path / "missing").names() == []


def test_a_folder_whose_values_are_missing_says_so(tmp_path: Path) -> None:
    (tmp_path / "etl").mkdir()
    with pytest.raises(ValuesError) as caught:
        Catalogue(tmp_path)["etl"]
    assert str(caught.value) == f'{tmp_path}/etl/values.yaml: it is missing; write it, with python: "3.13" at least.'


def test_a_change_on_disk_is_seen_and_nothing_is_read_twice_without_one(tmp_path: Path) -> None:
    write(tmp_path, "a", "python: '3.11'\n")
    catalogue = Catalogue(tmp_path)
    first = catalogue["a"]
    assert catalogue["a"] is first
    write(tmp_path, "defaults", "description: new\n")
    assert catalogue["a"].spec.description == "new"
    write(tmp_path, "a", "python: '3.12'\ndescription: own\n")
    assert catalogue["a"].spec == EnvironmentSpec(python="3.12", description="own")


def test_the_catalogue_is_the_nearest_envs_folder_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "envs", "a", "python: '3.11'\n")
    dag_file = tmp_path / "dags" / "team" / "dag.py"
    dag_file.parent.mkdir(parents=True)
    dag_file.touch()
    (tmp_path / "dags" / "envs").mkdir()  # something else of the same name
    assert Catalogue.find(dag_file).root == tmp_path / "envs"
    monkeypatch.chdir(tmp_path / "dags")
    assert Catalogue.find().root == tmp_path / "envs"


def test_the_variable_wins_over_the_option_and_both_over_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("envs", "option", "variable"):
        write(tmp_path / name, "a", "python: '3.11'\n")
    option = str(tmp_path / "option")
    assert Catalogue.find(tmp_path, configured=option).root == tmp_path / "option"
    monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "variable"))
    assert Catalogue.find(tmp_path, configured=option).root == tmp_path / "variable"


def test_no_catalogue_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CatalogueNotFound, match=f"in {tmp_path} or above it; .*PODENV_CATALOGUE"):
        Catalogue.find(tmp_path)
    monkeypatch.setenv("PODENV_CATALOGUE", "nowhere")
    with pytest.raises(CatalogueNotFound, match=r"^PODENV_CATALOGUE names nowhere, which is not a folder"):
        Catalogue.find(tmp_path)


def test_the_schema_accepts_and_refuses_what_the_model_does() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    assert validator.is_valid({"python": "3.13", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}})
    assert not validator.is_valid({"python": 3.1})
    assert not validator.is_valid({"python": "3.13", "zzz": 1})
    assert not validator.is_valid({})


def test_the_environments_of_the_project_are_well_formed() -> None:
    catalogue = Catalogue(Path(__file__).parents[3] / "envs")
    assert {env.name: env.python for env in catalogue} == {
        "data-cleaning": "3.11",
        "data-ingestion": "3.11",
        "model-training": "3.13",
    }
    assert all(isinstance(env, Environment) for env in catalogue)


def test_a_placeholder_in_the_defaults_is_filled_for_each_environment(tmp_path: Path) -> None:
    write(
        tmp_path,
        "defaults",
        "serviceAccount: {annotations: {role: 'arn:aws:iam::1:role/{name}'}}\n"
        "imagePullSecrets: [{name: '{name}-pull'}]\n"
        "image: {base: 'r.example/base:{python}'}\n"
        "env: {KEPT: '{{name}}', JSON: '{\"name\": {}}', SHELL: '${HOME}', JINJA: '{{ name }}'}\n",
    )
    names = [f"team-{number}" for number in range(50)]
    for name in names:
        write(tmp_path, name, 'python: "3.12"\nenv: {OWN: "{name}"}\n')
    for one in Catalogue(tmp_path):
        assert one.values["serviceAccount"] == {"annotations": {"role": f"arn:aws:iam::1:role/{one.name}"}}
        assert one.values["imagePullSecrets"] == [{"name": f"{one.name}-pull"}]
        assert one.spec.image.base == "r.example/base:3.12"
        assert one.spec.env == {
            "KEPT": "{name}", "JSON": '{"name": {}}', "SHELL": "${HOME}", "JINJA": "{{ name }}", "OWN": "{name}",
        }  # fmt: skip


def test_the_namespace_is_that_of_the_values_else_one_with_the_prefix_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW__PODENV__NAMESPACE_PREFIX", raising=False)
    monkeypatch.delenv("PODENV_NAMESPACE_PREFIX", raising=False)
    write(tmp_path, "defaults", "podAnnotations: {where: '{namespace}'}\n")
    write(tmp_path, "etl", 'python: "3.12"\n')
    write(tmp_path, "report", 'python: "3.12"\nnamespace: shared\n')

    def found(catalogue: Catalogue) -> list[str]:
        return [one.values["podAnnotations"]["where"] for one in catalogue]

    assert found(Catalogue(tmp_path)) == ["podenv-etl", "shared"]
    monkeypatch.setenv("PODENV_NAMESPACE_PREFIX", "stage-")
    assert found(Catalogue(tmp_path)) == ["stage-etl", "shared"]
    assert found(Catalogue(tmp_path, prefix="airflow-")) == ["airflow-etl", "shared"]
    write(tmp_path, "defaults", "namespace: 'team-{name}'\npodAnnotations: {where: '{namespace}'}\n")
    assert found(Catalogue(tmp_path)) == ["team-etl", "shared"]
    write(tmp_path, "defaults", "namespace: '{namespace}-x'\n")
    assert refusal(tmp_path, "etl").key == "namespace"


def test_an_unknown_placeholder_is_refused_with_its_key(tmp_path: Path) -> None:
    file = write(tmp_path, "defaults", "imagePullSecrets: [{name: '{nmae}-x'}]\n")
    write(tmp_path, "etl", 'python: "3.12"\n')
    found = refusal(tmp_path, "etl")
    why = "there is no placeholder {nmae}; known: {name}, {python}, {namespace}. As plain text write {{nmae}}."
    assert (found.file, found.key, found.why) == (file, "imagePullSecrets.0.name", why)


@given(st.text(st.sampled_from("{}$ namepython")))
def test_a_text_is_filled_or_refused_and_its_escape_is_what_it_was(text: str) -> None:
    words, file = {"name": "etl", "python": "3.12"}, Path("defaults.yaml")
    try:
        filled = fill(text, words, file)
    except ValuesError:
        assert "{" in text
        return
    if "{" not in text:
        assert filled == text
    assert fill("{{name}}", words, file) == "{name}"
    assert fill([text, {"{name}": text}], words, file) == [filled, {"{name}": filled}]
