"""What an annotation asks for, by its text alone."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest

from podenv.runtime.annotation import read


def told(annotation: Any, **names: Any) -> Any:
    """The names, with those of the elements where there are any."""

    def shown(wanted: Any) -> Any:
        return [*wanted.names, [shown(one) for one in wanted.inner]] if wanted.inner else [*wanted.names]

    return shown(read(annotation, names))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pandas.DataFrame", ["pandas.DataFrame"]),
        ("pd.DataFrame", ["pandas.DataFrame"]),
        ("pl.DataFrame", ["polars.DataFrame"]),
        ("pa.Table", ["pyarrow.Table"]),
        ("Path", ["pathlib.Path"]),
        ("pathlib.Path", ["pathlib.Path"]),
        ("bytes", ["bytes"]),
        ("DataFrame", ["DataFrame"]),
        ("my.Frame", ["my.Frame"]),
        ("'pandas.DataFrame'", ["pandas.DataFrame"]),
        ("pandas.DataFrame | None", ["pandas.DataFrame"]),
        ("None | pandas.DataFrame | pl.DataFrame", ["pandas.DataFrame", "polars.DataFrame"]),
        ("Optional[Path]", ["pathlib.Path"]),
        ("typing.Union[bytes, Path, None]", ["bytes", "pathlib.Path"]),
        ("Annotated[pandas.DataFrame, 'rows']", ["pandas.DataFrame"]),
        ("list[pd.DataFrame]", ["list", [["pandas.DataFrame"]]]),
        ("Sequence['Path']", ["list", [["pathlib.Path"]]]),
        ("tuple[pa.Table, ...]", ["list", [["pyarrow.Table"]]]),
        ("tuple[pa.Table, Path]", ["list", [["pyarrow.Table"], ["pathlib.Path"]]]),
        ("dict[str, list[Path]] | None", ["dict", [["list", [["pathlib.Path"]]]]]),
        ("pandera.DataFrame[Schema]", ["pandera.DataFrame"]),
        ("Any", []), ("typing.Any", []), ("object", []), ("None", []), ("", []), ("not valid (", []), ("f(x)", []),
        ("lambda: boom()", []),
    ],
)  # fmt: skip
def test_a_text_names_types(text: str, names: Any) -> None:
    assert told(text) == names


def test_names_of_the_functions_module_say_what_they_are() -> None:
    class Frame:
        __module__ = "polars.dataframe.frame"
        __qualname__ = "DataFrame"

    assert told("DataFrame", DataFrame=Frame) == ["polars.DataFrame"]
    assert told("p.Path", p=pathlib) == ["pathlib.Path"]
    assert told("pd.DataFrame", pd=sys) == ["sys.DataFrame"]


def test_an_annotation_that_is_a_type_counts_as_its_name() -> None:
    assert told(bytes) == ["bytes"]
    assert told(pathlib.Path) == ["pathlib.Path"]
    assert told(3) == []
