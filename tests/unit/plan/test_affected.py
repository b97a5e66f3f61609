"""The blast radius, and what differs between a deployed image and a lock."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet

from podenv.plan import lockdiff
from podenv.plan.advisories import Question
from podenv.plan.affected import UNKNOWN, hits, unseen
from podenv.plan.deployed import Deployed
from podenv.plan.uses import Use, Uses

OLD = Question("alpha", "alpha<2", SpecifierSet("<2"))
FILES = {"etl": "envs/etl/requirements.txt"}


def use(task: str, *packages: str, environment: str = "etl", known: bool = True) -> Use:
    return Use(environment, "dag", task, "dags/dag.py", 1, frozenset(packages) if known else None)


def deployed(name: str, packages: dict[str, str] | None) -> Deployed:
    return Deployed(name, f"podenv-{name}", f"registry.example/{name}@sha256:0", "", 3, packages)


def test_an_environment_is_hit_by_its_lock_and_by_its_deployed_image_each_by_itself() -> None:
    locked: dict[str, dict[str, tuple[str, ...]]] = {
        "etl": {"alpha": ("1.0", "2.0")}, "both": {"alpha": ("1.5",)}, "fixed": {"alpha": ("2.0",)},
    }  # fmt: skip
    there = {
        "both": deployed("both", {"alpha": "1.5"}),
        "fixed": deployed("fixed", {"alpha": "1.9"}),
        "gone": deployed("gone", {"alpha": "1.0"}),
        "other": deployed("other", {"beta": "1.0"}),
    }
    found = {one.environment: one for one in hits([OLD], locked, there, Uses(), FILES)}
    assert {name: (one.locked, one.deployed) for name, one in found.items()} == {
        "both": (("1.5",), "1.5"), "etl": (("1.0",), ""), "fixed": ((), "1.9"), "gone": ((), "1.0"),
    }  # fmt: skip
    assert found["etl"].lock == "envs/etl/requirements.txt"
    assert (found["gone"].lock, found["gone"].namespace) == ("", "podenv-gone")
    assert found["gone"].image == "registry.example/gone@sha256:0"
    assert all(one.is_certain for one in found.values())


def test_a_release_that_names_packages_without_versions_says_version_unknown_and_is_not_certain() -> None:
    there = {"etl": deployed("etl", {"alpha": ""}), "git": deployed("git", {"alpha": "git+https://x/a@0"})}
    found = hits([OLD], {"etl": {"alpha": ("2.0",)}}, there, Uses(), FILES)
    assert [(one.environment, one.locked, one.deployed, one.is_certain) for one in found] == [
        ("etl", (), UNKNOWN, False), ("git", (), "git+https://x/a@0", False),
    ]  # fmt: skip


def test_an_image_of_which_nothing_is_known_is_said_once_and_hit_by_no_question() -> None:
    there = {"etl": deployed("etl", None)}
    assert hits([OLD], {"etl": {}}, there, Uses(), FILES) == []
    assert unseen(there) == ["etl"]


def test_the_tasks_that_import_the_package_are_told_from_those_that_only_run_with_it() -> None:
    uses = Uses([use("one", "alpha"), use("two", "beta"), use("three", known=False), use("x", environment="other")])
    [found] = hits([OLD], {"etl": {"alpha": ("1.0",)}}, {}, uses, FILES)
    assert [str(one) for one in found.uses] == ["dag.one", "dag.two", "dag.three"]
    assert [str(one) for one in found.importing] == ["dag.one"]


def test_packages_are_added_removed_changed_or_of_unknown_version() -> None:
    before = {"same": "1", "gone": "1", "newer": "1", "nameless": ""}
    after = {"same": "1", "newer": "2", "new": "1", "nameless": "3"}
    found = lockdiff.between(before, after, [use("one", "newer", "same"), use("two", "gone")])
    assert [(one.package, one.what, one.before, one.after, [str(task) for task in one.importing]) for one in found] == [
        ("gone", "removed", "1", "", ["dag.two"]),
        ("nameless", "version unknown", "", "3", []),
        ("new", "added", "", "1", []),
        ("newer", "changed", "1", "2", ["dag.one"]),
    ]
