from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lock.project import environment

from podenv import lock
from podenv.errors import LockError, RequirementsInvalid, RequirementsMissing
from podenv.lock import requirements


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("pandas>>2", "is not a valid requirement: "),
        ("./wheels/x.whl", "a path or an address alone has no name; write `name @ https://…`"),
        ("-e .", "an editable install has no hash; publish the package"),
        ("x @ git+ftp://example.org/x", "only an https:// archive or a git+https:// repository can be locked"),
        ("x @ hg+https://example.org/x", "only an https:// archive or a git+https:// repository can be locked"),
        ("x @ file:///srv/x.whl", "only an https:// archive or a git+https:// repository can be locked"),
        ("--index-url https://example.org/simple", "name the index in values.yaml, in `indexes` or image.index"),
        ("-i https://example.org/simple", "name the index in values.yaml, in `indexes` or image.index"),
        ("--only-binary=:all:", "it holds for all packages already; remove the line."),
        ("--no-binary :all:", "name one package a line, like `--no-binary pyspark`."),
        ("x @ https://example.org/x.zip", "add a line `--no-binary x` to have it built where it is installed"),
        ("--pre", "--pre is not supported here"),
        ("-r", "name a file relative to this one"),
        ("-r https://example.org/base.in", "name a file relative to this one"),
        ("-c /etc/limits.txt", "name a file relative to this one"),
        ("-r $HOME/base.in", "name a file relative to this one"),
        ("-r requirements.in", "the files include each other; remove one of the two lines."),
        ("alpha==1.0 --hash=sha256:00", "a hash is not read from here, the lock holds those of the index; remove it."),
    ],
)
def test_a_line_that_cannot_be_locked_is_refused_with_file_line_and_reason(tmp_path: Path, line: str, why: str) -> None:
    subject = environment(tmp_path, f"# first\n\nalpha\n{line}\n")
    with pytest.raises(RequirementsInvalid) as caught:
        lock.resolve(subject)
    assert str(caught.value).startswith(f"{subject.requirements_in}, line 4: {line!r}")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequirementsMissing) as none:
        lock.check(environment(tmp_path, None))
    file = tmp_path / "envs" / "etl" / "requirements.in"
    assert str(none.value) == (
        f"{file} is missing; write into it what the environment needs, one package a line, or name "
        "another file as `source` in the values."
    )
    with pytest.raises(RequirementsMissing) as included:
        lock.check(environment(tmp_path, "-r ../base.in\n"))
    assert str(included.value) == (
        f"{file}, line 1: '-r ../base.in': there is no such file; correct the path, it is relative to {file.parent}."
    )
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(RequirementsInvalid, match=r"requirements\.in is not UTF-8 text; save it as UTF-8\."):
        lock.check(environment(tmp_path, None))


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    subject = environment(tmp_path, "-r a.in\n")
    (subject.folder / "a.in").write_text("-c b.in\n")
    (subject.folder / "b.in").write_text("\n-r requirements.in\n")
    with pytest.raises(RequirementsInvalid) as caught:
        lock.check(subject)
    assert str(caught.value) == (
        f"{subject.folder / 'b.in'}, line 2: '-r requirements.in': the files include each other; "
        "remove one of the two lines."
    )


@given(st.text())
def test_any_text_is_read_or_refused_with_a_lock_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.in"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert "\n" not in (_refusal(file) or "")


def _refusal(file: Path) -> str | None:
    try:
        requirements.read(file)
    except LockError as error:
        return str(error)
    return None


@given(st.lists(st.sampled_from(["alpha>=1", "# note", "", "   ", "beta  # why", "gamma \\\n  >=2"])))
def test_comments_and_empty_lines_decide_nothing(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = tmp_path_factory.getbasetemp() / "comments.in"
    file.write_text("\r\n".join(lines))
    names = [line.split()[0].split(">")[0] for line in lines if line.strip() and not line.startswith("#")]
    requested = requirements.read(file)
    assert requested.names == names
    assert len(requested.lines) == len(names)


@pytest.mark.parametrize(
    "line",
    [
        "x @ https://user:s3cret@example.org/x-1-py3-none-any.whl",
        "x @ https://s3cret@example.org/x-1-py3-none-any.whl",
        "x@http://user:s3cret@example.org/x-1-py3-none-any.whl ; sys_platform == 'linux'",
        "x @ git+https://user:s3cret@example.org/x",
        "x @ git+ssh://git:s3cret@example.org/x",
        "--find-links https://user:s3cret@example.org/",
        "--index-url=https://user:s3cret@example.org/simple",
        "--extra-index-url https://user:s3cret@example.org/simple",
        "-i https://user:s3cret@example.org/simple",
        "-r https://user:s3cret@example.org/base.in",
    ],
)
def test_a_login_in_an_address_is_refused_and_not_shown(tmp_path: Path, line: str) -> None:
    subject = environment(tmp_path, f"alpha\n{line}\n")
    with pytest.raises(RequirementsInvalid) as caught:
        lock.check(subject)
    assert f"{subject.requirements_in}, line 2: " in str(caught.value)
    assert "the address holds a login, which would be in the lock for all to read" in str(caught.value)
    assert "s3cret" not in str(caught.value)
