from pathlib import Path

from tests.lock.project import environment

from podenv import lock


def test_pinned_reads_markers_for_this_machine_and_the_python_of_the_environment(tmp_path: Path) -> None:
    subject = environment(tmp_path, "", python="3.8")
    subject.lock_file.write_text(
        "--only-binary :all:\n\n"
        "A_b==1.0 ; python_full_version < '3.9' \\\n    --hash=sha256:00\n"
        "new==1.0 ; python_full_version >= '3.9' \\\n    --hash=sha256:00\n"
        "patch==1.0 ; python_full_version <= '3.8.2' \\\n    --hash=sha256:00\n"
        "win==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
        "extra[one]==2!1.0.post1 \\\n    --hash=sha256:00\n"
        "wheel @ https://example.org/wheel-3.1-py3-none-any.whl#x=1 \\\n    --hash=sha256:00\n"
        "archive @ https://example.org/main.tar.gz \\\n    --hash=sha256:00\n"
    )
    assert lock.pinned(subject) == {
        "a-b": "1.0",
        "extra": "2!1.0.post1",
        "wheel": "3.1",
        "archive": "https://example.org/main.tar.gz",
    }
