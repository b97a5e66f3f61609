"""What a plan is made of, without uv: demands, memory, words, sizes, values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import LockMissing
from podenv.plan import demand as demands
from podenv.plan import differing
from podenv.plan.clashes import Clash, Side
from podenv.plan.demand import Demand
from podenv.plan.memory import Answer, Memory
from podenv.plan.oracle import conclusion, suspects
from podenv.plan.sizes import Saved, saved

TOOL = str(Requirement("tool @ git+https://x/tool@v1"))
FITS, CLASHES = Answer("fits", ("a==1",)), Answer("clashes", words="no")
UNSOLVED = """\
No solution found when resolving dependencies
  cause: Because only the following versions of numpy are available:
             numpy<=1.26.4
             numpy>=2
         and numpy>=1.26.0 has no wheels, we can conclude that numpy==1.26.* cannot be used.
         And because pandas==2.1.* depends on numpy>=1.26 and you require pandas==2.1.*, you require numpy>=2.
         And because you require numpy==1.26.*, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `numpy` because building is disabled
"""


def environment(root: Path, asked: str | None = None, values: str = "", *, name: str = "etl") -> Environment:
    folder = root / "envs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "3.12"\n{values}')
    if asked is not None:
        (folder / "requirements.in").write_text(asked)
    return Catalogue(root / "envs")[name]


def demand(*lines: str, limits: tuple[str, ...] = (), source: tuple[str, ...] = ()) -> Demand:
    return Demand(frozenset(lines), frozenset(limits), frozenset(source))


def test_a_demand_is_requirements_constraints_and_what_may_be_built(tmp_path: Path) -> None:
    subject = environment(
        tmp_path, "Alpha [x]>=1  # why\n-c limits.txt\n--no-binary Beta\nbeta\ntool @ git+https://x/tool@v1\n"
    )
    (subject.folder / "limits.txt").write_text("gamma<2\n")
    found = demands.of(subject)
    assert found == demand(
        "Alpha[x]>=1",
        "beta",
        str(Requirement("tool @ git+https://x/tool@v1")),
        limits=("gamma<2",),
        source=("beta", "tool"),
    )
    assert found.only(["beta", "-c gamma<2"]) == demand("beta", limits=("gamma<2",), source=("beta", "tool"))


def test_a_pyproject_counts_by_its_requirements_and_by_its_lock_where_it_says_more(tmp_path: Path) -> None:
    subject = environment(tmp_path, values="source: pyproject.toml\n")
    project = '[project]\nname = "p"\nversion = "1"\ndependencies = ["alpha>=1", "beta"]\n'
    (subject.folder / "pyproject.toml").write_text(project)
    assert demands.of(subject) == demand("alpha>=1", "beta")
    (subject.folder / "pyproject.toml").write_text(project + '[tool.uv]\nresolution = "lowest"\n')
    with pytest.raises(LockMissing):
        demands.of(subject)
    subject.lock_file.write_text(
        "--only-binary :all:\n--no-binary beta\n\nalpha==1.0 \\\n    --hash=sha256:00\nbeta==2\n"
    )
    assert demands.of(subject) == demand("alpha==1.0", "beta==2", source=("beta",))


def test_what_the_projects_own_packages_need_counts_but_not_themselves(tmp_path: Path) -> None:
    for name, needs in (("own", '"alpha>=1", "other"'), ("other", '"beta"')):
        folder = tmp_path / "libs" / name
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "1"\ndependencies = [{needs}]\n[build-system]\nrequires = ["x"]\n'
        )
    subject = environment(tmp_path, "gamma\n", "packages: [../../libs/own, ../../libs/other]\n")
    assert demands.of(subject) == demand("alpha>=1", "beta", "gamma")


def test_only_environments_whose_images_are_made_alike_have_the_same_basis(tmp_path: Path) -> None:
    first = demands.basis(environment(tmp_path, name="one", values="systemPackages: [git]\n"))
    assert first == demands.basis(environment(tmp_path, name="two", values="env: {A: b}\n"))
    for values in (
        "image: {base: python:3.12}\n", "image: {platform: linux/arm64}\n", "image: {containerfile: Containerfile}\n",
        "indexes: [{name: own, url: 'https://own.example/simple'}]\n",
    ):  # fmt: skip
        assert demands.basis(environment(tmp_path, name="other", values=values)) != first


def test_memory_concludes_from_more_and_less_of_what_was_asked() -> None:
    memory = Memory()
    memory.keep(demand("a", "b"), FITS)
    memory.keep(demand("c", "d", limits=("e<1",)), CLASHES)
    assert memory.find(demand("a", "b")) == FITS
    assert memory.find(demand("a")) == Answer("fits")
    assert memory.find(demand("a", "c", "d", limits=("e<1",))) == CLASHES
    assert memory.find(demand("c", "d")) is None
    assert memory.find(demand("a", source=("a",))) is None  # what may be built can make more possible


def test_what_the_index_says_takes_the_place_of_what_contradicts_it() -> None:
    memory = Memory()
    memory.keep(demand("a", "b"), CLASHES)
    memory.keep(demand("x", "y"), FITS)
    memory.keep(demand("a", "b", "c"), Answer("fits", ("a==2",), is_online=True))
    assert memory.find(demand("a", "b")) == Answer("fits", is_online=True)
    memory.keep(demand("x"), Answer("clashes", is_online=True))
    assert memory.find(demand("x", "y")) == Answer("clashes", is_online=True)
    memory.keep(demand("x"), Answer("unknown", words="no network"))
    assert memory.find(demand("x")) == Answer("clashes", is_online=True)


def test_the_conclusion_is_uvs_last_two_sentences_without_its_hints() -> None:
    assert conclusion(UNSOLVED) == (
        "And because pandas==2.1.* depends on numpy>=1.26 and you require pandas==2.1.*, you require numpy>=2.\n"
        "And because you require numpy==1.26.*, we can conclude that your requirements are unsatisfiable."
    )
    assert conclusion("Because a and b, no.") == "Because a and b, no."
    assert conclusion(f"Because {'x ' * 500}") == f"Because {'x ' * 246} ..."


def test_suspects_are_the_lines_whose_package_uv_names() -> None:
    lines = ["numpy==1.26.*", "Pandas==2.1.*", "scipy", "wheels"]
    assert suspects(UNSOLVED, lines) == ["numpy==1.26.*", "Pandas==2.1.*", "wheels"]


def test_a_clash_names_each_side_and_one_side_alone_is_not_to_be_had() -> None:
    sides = (Side("pandas<2", ("a", "b")), Side("pandas>=2", ("c",)))
    assert str(Clash(("a", "b", "c"), "versions", sides, "3.12")) == "pandas<2 (a, b) against pandas>=2 (c)"
    assert str(Clash(("a",), "versions", sides[:1], "3.13")) == "pandas<2 (a, b) cannot be had on Python 3.13"


@pytest.mark.parametrize(
    ("before", "after", "stored", "expected"),
    [
        ([30, 20], 35, [None, None], Saved(15, "the wheels' sizes")),
        ([30, None], 35, [None], Saved(None, "the package index does not say how large its files are")),
        ([30, 20], None, [None], Saved(None, "the package index does not say how large its files are")),
        ([0, 0], 0, [None], Saved(0, "the wheels' sizes")),
        ([10, 10], 30, [None], Saved(0, "the wheels' sizes")),
        # The base's 500 bytes are stored once; half of the other 100 go, as half of the wheels' bytes do.
        (
            [30, 20], 25, [{"base": 500, "a": 60}, {"base": 500, "b": 40}],
            Saved(50, "the layers in the registry and the wheels' sizes"),
        ),
        ([30, 20], 25, [{"base": 500, "a": 60}, None], Saved(25, "the wheels' sizes")),
    ],
)  # fmt: skip
def test_what_is_saved_is_told_by_layers_where_all_are_known_else_by_wheels(
    before: list[int | None], after: int | None, stored: list[dict[str, int] | None], expected: Saved
) -> None:
    assert saved(before, after, stored) == expected


def test_values_that_are_alike_are_kept_the_larger_resources_and_all_system_packages() -> None:
    one: dict[str, Any] = {
        "python": "3.12", "description": "one", "env": {"A": "1"}, "image": {"registry": "r"},
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "512Mi", "cpu": "2"}},
    }  # fmt: skip
    two: dict[str, Any] = {
        "python": "3.12", "description": "two", "env": {"A": "2"}, "image": {"registry": "r"},
        "systemPackages": ["git"],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    }  # fmt: skip
    assert differing.keys([one, two]) == ("env",)
    assert differing.merged([one, two]) == {
        "python": "3.12", "image": {"registry": "r"}, "systemPackages": ["git"],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    }  # fmt: skip


def test_memory_that_is_auto_stays_so_with_a_cap_that_is_enough_for_all() -> None:
    learned = {"python": "3.12", "resources": {"limits": {"memory": "auto"}, "maxMemory": "2Gi"}}
    given = {"python": "3.12", "resources": {"limits": {"memory": "4Gi"}}}
    assert differing.merged([learned, given])["resources"] == {"limits": {"memory": "auto"}, "maxMemory": "4Gi"}
    assert differing.merged([learned, learned])["resources"] == learned["resources"]
    without = {"python": "3.12", "resources": {"maxMemory": "1Gi"}}
    assert differing.merged([learned, without])["resources"] == {"maxMemory": "2Gi"}
