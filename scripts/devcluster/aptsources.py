"""The machine's own package sources, read and never changed, so that no mirror needs to be named here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One suite at one address, as apt's one-line format says it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def line(self, kind: str = "deb", *, options: bool = True) -> str:
        """`deb-src [signed-by=…] URI SUITE COMPONENT…`"""
        words = " ".join(f"{name}={value}" for name, value in self.options) if options else ""
        return " ".join([kind, *([f"[{words}]"] if words else []), self.uri, self.suite, *self.components])

    def of_release(self, old: str, new: str) -> "Source":
        """The same place for another release of Debian: bookworm-security becomes trixie-security."""
        return Source(self.uri, self.suite.replace(old, new, 1), self.components, self.options)


# What may be needed to read the same place again; `arch` and the like would be in the way of source packages.
KEPT_OPTIONS = ("signed-by", "trusted", "check-valid-until")


def debian_sources(etc_apt: Path, codename: str) -> list[Source]:
    """Debian's own suites of release `codename`, in apt's order; third parties' places are left out."""
    found: list[Source] = []
    listed = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for path in listed:
        if not path.is_file():
            continue
        if path.suffix == ".list":
            found += parse_list(path.read_text())
        elif path.suffix == ".sources":
            found += parse_deb822(path.read_text())
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    wanted = [source for source in found if source.suite in suites and "main" in source.components]
    return list(dict.fromkeys(wanted))


def parse_list(text: str) -> list[Source]:
    """The `deb` lines of a sources.list."""
    found = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match:
            options = dict(word.split("=", 1) for word in (match[1] or "").split() if "=" in word)
            found.append(Source(match[2], match[3], tuple(match[4].split()), _kept(options)))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The enabled `deb` stanzas of a .sources file, one Source for each address and suite."""
    found = []
    for fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip() == "no":
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            found += [Source(uri, suite, components, _kept(fields)) for suite in fields.get("suites", "").split()]
    return found


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in " \t" and name:
                fields[name] += "\n" + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def _kept(options: dict[str, str]) -> tuple[tuple[str, str], ...]:
    # A Signed-By that holds the key itself has no one-line form; apt's trusted keys serve then.
    return tuple((name, options[name]) for name in KEPT_OPTIONS if name in options and len(options[name].split()) == 1)
