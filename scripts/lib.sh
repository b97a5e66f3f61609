# Sourced by the scripts: goes to the project's root and makes .venv ready (see setup_venv.py).
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { echo "error: $*" >&2; exit 1; }

# A Python that starts and is new enough: pyenv's shims are on PATH and may not start.
find_python() {
    local candidate
    for candidate in ${PODENV_PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

PYTHON=$(find_python) || die "no Python 3.11 or newer on PATH; install one, or name it in PODENV_PYTHON."
"$PYTHON" scripts/setup_venv.py
PATH="$PWD/.venv/bin:$PATH"
# Where it is set, each of the many processes of a run compiles podenv, and each of pytest rewrites every test, anew.
unset PYTHONDONTWRITEBYTECODE
