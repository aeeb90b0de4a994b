#!/bin/sh
# Make .venv: a Python 3.10 with the pinned stack and this project in it. Called by the Makefile.
set -u
cd "$(dirname "$0")/.." || exit 1

say() { echo "setup: $*" >&2; }

# Does this program answer as a Python 3.10 that can make virtual environments?
answers() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))' >/dev/null 2>&1
}

find_python() {
    for name in python3.10 python3 python; do
        if answers "$name"; then command -v "$name"; return 0; fi
    done
    for root in "${PYENV_ROOT:-}" "$(pyenv root 2>/dev/null)" "$HOME/.pyenv"; do
        for python in "$root"/versions/3.10.*/bin/python; do
            if [ -n "$root" ] && answers "$python"; then echo "$python"; return 0; fi
        done
    done
    for uv in uv .uv/bin/uv; do
        python=$(UV_PYTHON_INSTALL_DIR="$PWD/.uv/python" "$uv" python find --no-project 3.10 2>/dev/null)
        if [ -n "$python" ] && answers "$python"; then echo "$python"; return 0; fi
    done
    return 1
}

# uv brings a ready-built Python; pyenv compiles one. Whatever they say goes to the log.
make_python() {
    say "no Python 3.10 found; making one (uv, then pyenv)"
    uv=uv
    if ! command -v uv >/dev/null 2>&1; then
        for some in python3 python; do
            "$some" -m venv .uv && .uv/bin/python -m pip install --quiet uv && break
        done >/dev/null 2>&1
        uv=.uv/bin/uv
    fi
    UV_PYTHON_INSTALL_DIR="$PWD/.uv/python" "$uv" python install 3.10 >/dev/null 2>&1 && find_python && return 0
    pyenv install --skip-existing 3.10 >/dev/null 2>&1 && find_python && return 0
    rm -rf .uv
    return 1
}

if ! answers .venv/bin/python; then
    rm -rf .venv
    python=$(find_python || make_python)
    if [ -z "$python" ]; then
        say "Python 3.10 is needed (Lava takes no newer one), and neither python3.10, pyenv nor uv has or can make one here; install it and call make again."
        exit 1
    fi
    say "$("$python" --version) makes .venv"
    "$python" -m venv .venv || exit 1
fi
say "installing the pinned stack into .venv (about two minutes)"
# neurobench without its data sets, for which it wants audio libraries: a test compares its metrics with ours.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt &&
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        neurobench==2.3.0 snntorch==1.0.0 tqdm==4.70.1 --editable . || {
    say "the installation failed (see above); call make again once that is mended."
    exit 1
}
