"""One environment of a project that a test writes."""

from pathlib import Path

from podenv.catalogue.environment import Catalogue, Environment


def environment(
    root: Path, asked: str | None, *, python: str = "3.12", name: str = "etl", values: str = ""
) -> Environment:
    """Its values and its requirements.in; written anew each time."""
    folder = root / "envs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "{python}"\n{values}')
    if asked is not None:
        (folder / "requirements.in").write_text(asked)
    return Catalogue(root / "envs")[name]
