"""Placeholders in envs/defaults.yaml, so that one line there says what differs by the environment's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podenv.errors import ValuesError

# A word in braces; in two pairs it stands for itself in one. Neither `${HOME}` of a shell nor JSON is one.
_WORD = re.compile(r"(?<![$\w{])\{(?:\{(?P<literal>[A-Za-z_]\w*)\}|(?P<word>[A-Za-z_]\w*))\}(?!\})")


def fill(tree: Any, words: Mapping[str, str], file: Path, path: tuple[str | int, ...] = ()) -> Any:
    """The values in ``tree`` with ``{word}`` replaced in every text, also inside lists; keys stay as they are.

    Raises `ValuesError`, with ``file`` and the key, for a word that is not known.
    """
    if isinstance(tree, dict):
        return {key: fill(value, words, file, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill(value, words, file, (*path, place)) for place, value in enumerate(tree)]
    if not isinstance(tree, str) or "{" not in tree:
        return tree

    def one(found: re.Match[str]) -> str:
        if found["literal"]:
            return f"{{{found['literal']}}}"
        word = found["word"]
        if word not in words:
            known = ", ".join(f"{{{each}}}" for each in words)
            why = f"there is no placeholder {{{word}}}; known: {known}. As plain text write {{{{{word}}}}}."
            raise ValuesError(file, ".".join(map(str, path)), why)
        return words[word]

    return _WORD.sub(one, tree)
