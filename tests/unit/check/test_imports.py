"""The imports of code, and what each depends on."""

import ast
import textwrap

import pytest

from podenv.check import standard
from podenv.check.imports import collect, holds


def brief(text: str, python: tuple[int, int] = (3, 11)) -> list[tuple[str, str]]:
    return [(one.module, one.certainty) for one in collect(ast.parse(textwrap.dedent(text)).body, python)]


def test_each_import_has_its_place_its_names_and_its_certainty() -> None:
    found = collect(ast.parse("import a.b, c\nfrom d import e as f, g\nfrom ..h import i\n").body, (3, 11))
    assert [(one.module, one.line, one.column, one.names, one.level) for one in found] == [
        ("a.b", 1, 8, (), 0), ("c", 1, 13, (), 0), ("d", 2, 1, ("e", "g"), 0), ("h", 3, 1, ("i",), 2),
    ]  # fmt: skip
    assert {one.certainty for one in found} == {"certain"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("try:\n    import a\nexcept ImportError:\n    import b\n", [("a", "guarded"), ("b", "certain")]),
        ("try:\n    import a\nexcept (KeyError, ModuleNotFoundError):\n    a = None\n", [("a", "guarded")]),
        ("try:\n    import a\nexcept ValueError:\n    import b\n", [("a", "certain"), ("b", "conditional")]),
        ("try:\n    import a\nfinally:\n    import b\n", [("a", "certain"), ("b", "certain")]),
        ("with suppress(ImportError):\n    import a\n", [("a", "guarded")]),
        ("with open('x'):\n    import a\n", [("a", "certain")]),
        ("if TYPE_CHECKING:\n    import a\n", []),
        ("if x:\n    import a\nelse:\n    import b\n", [("a", "conditional"), ("b", "conditional")]),
        ("for x in y:\n    import a\n", [("a", "conditional")]),
        ("if sys.version_info >= (3, 11):\n    import a\nelse:\n    import b\n", [("a", "certain")]),
        ("if sys.version_info < (3, 11):\n    import a\nelif sys.platform == 'win32':\n    import b\n", []),
        (
            "import_module('a')\nimportlib.import_module(name)\n__import__('b.c')\n",
            [("a", "certain"), ("b.c", "certain")],
        ),
        ("def f():\n    import a\nlambda: __import__('b')\n", [("a", "certain")]),
    ],
)
def test_what_surrounds_an_import_decides_how_certain_it_is(text: str, expected: list[tuple[str, str]]) -> None:
    assert brief(text) == expected


def test_what_takes_the_place_of_a_module_is_asked_for_only_without_it() -> None:
    found = collect(ast.parse("try:\n    import a\nexcept ImportError:\n    import b\n").body, (3, 11))
    assert [one.instead_of for one in found] == [(), ("a",)]


@pytest.mark.parametrize(
    ("test", "python", "expected"),
    [
        ("sys.version_info >= (3, 9)", (3, 8), False),
        ("sys.version_info >= (3, 9)", (3, 9), True),
        ("sys.version_info > (3, 9)", (3, 9), True),
        ("sys.version_info[:2] == (3, 9)", (3, 9), True),
        ("sys.version_info.minor > 9", (3, 9), False),
        ("sys.version_info[0] == 3 and x", (3, 9), None),
        ("sys.version_info[0] == 2 and x", (3, 9), False),
        ("not sys.platform.startswith('win')", (3, 9), True),
        ("platform.system() == 'Darwin'", (3, 9), False),
        ("os.name == 'nt' or x", (3, 9), None),
        ("x", (3, 9), None),
        ("0", (3, 9), False),
    ],
)
def test_conditions_on_the_python_and_the_system_are_known(
    test: str, python: tuple[int, int], expected: bool | None
) -> None:
    assert holds(ast.parse(test, mode="eval").body, python) is expected


def test_the_standard_library_is_known_by_version() -> None:
    assert standard.versions_with("distutils")[-1] == "3.11"
    assert standard.versions_with("tomllib")[0] == "3.11"
    assert standard.versions_with("pandas") == []
    assert "zoneinfo" not in (standard.names("3.8") or ())
    assert "_thread" in (standard.names("3.9") or ())
    assert standard.names("3.7") is not None
    assert standard.names("3.99") == standard.names("3.14")
