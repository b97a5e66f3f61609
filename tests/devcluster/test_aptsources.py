from pathlib import Path

from devcluster.aptsources import Source, debian_sources, parse_deb822, parse_list

DEB822 = """\
# The machine's own mirror
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abcdef

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""


def test_each_suite_of_a_stanza_becomes_a_source_and_disabled_ones_do_not() -> None:
    keyring = (("signed-by", "/usr/share/keyrings/debian-archive-keyring.gpg"),)
    assert parse_deb822(DEB822) == [
        Source("http://mirror.example/debian", "bookworm", ("main", "contrib"), keyring),
        Source("http://mirror.example/debian", "bookworm-updates", ("main", "contrib"), keyring),
        Source("http://mirror.example/debian-security", "bookworm-security", ("main",)),
    ]


def test_one_line_sources_keep_the_options_that_reading_needs() -> None:
    text = (
        "# comment\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # why\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    assert parse_list(text) == [
        Source("http://mirror.example/debian", "bookworm", ("main", "contrib"), (("signed-by", "/k.gpg"),))
    ]


def test_a_source_is_written_as_apt_reads_it() -> None:
    source = Source("http://mirror.example/debian", "bookworm", ("main",), (("signed-by", "/k.gpg"),))
    assert source.line("deb-src") == "deb-src [signed-by=/k.gpg] http://mirror.example/debian bookworm main"
    assert source.line(options=False) == "deb http://mirror.example/debian bookworm main"


def test_another_release_is_read_from_the_same_place() -> None:
    source = Source("http://mirror.example/debian-security", "bookworm-security", ("main",))
    assert (
        source.of_release("bookworm", "trixie").line()
        == "deb http://mirror.example/debian-security trixie-security main"
    )


def test_third_parties_and_switched_off_files_are_left_out(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (parts / "docker.list").write_text("deb https://docker.example/linux/debian bookworm stable\n")
    (parts / "postgres.list").write_text("deb https://pg.example/apt bookworm-pgdg main\n")
    (parts / "old.list.disabled").write_text("deb http://b.example/debian bookworm main\n")
    (parts / "same.list").write_text("deb http://a.example/debian bookworm main\n")
    assert debian_sources(tmp_path, "bookworm") == [Source("http://a.example/debian", "bookworm", ("main",))]
