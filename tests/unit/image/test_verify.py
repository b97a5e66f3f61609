from pathlib import Path

from podenv.catalogue.reference import ImageRef
from podenv.image import audit, verify

REF = ImageRef("localhost", "podenv-etl", tag="t")


def test_many_altered_files_are_counted_not_listed() -> None:
    assert verify._few([f"{n} was changed" for n in range(8)]) == [
        *(f"{n} was changed" for n in range(5)),
        "and 3 more files",
    ]


def test_the_audit_runs_on_every_python_that_an_image_may_have() -> None:
    source = Path(audit.__file__).read_text()
    compile(source, "audit.py", "exec", dont_inherit=True)
    import ast

    ast.parse(source, feature_version=(3, 8))
