#!/bin/sh
# Make a virtual environment with a pinned stack and this project in it: tools/setup.sh VENV REQUIREMENTS VERSION...
# VERSION: of Python; the first that is here is taken. Where none is, ONLY_FOUND=1 ends with 3, else the first is made. Called by the Makefile.
set -u
cd "$(dirname "$0")/.." || exit 1

say() { echo "setup: $*" >&2; }

if [ $# -lt 3 ]; then
    say "$# arguments given; give VENV, REQUIREMENTS and VERSION, as in sh tools/setup.sh .venv requirements.txt 3.10"
    exit 2
fi
venv=$1 requirements=$2
shift 2

# Does this program answer as a Python of that version that can make virtual environments?
answers() {
    "$1" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" >/dev/null 2>&1
}

find_python() {
    for name in "python$1" python3 python; do
        if answers "$name" "$1"; then command -v "$name"; return 0; fi
    done
    for root in "${PYENV_ROOT:-}" "$(pyenv root 2>/dev/null)" "$HOME/.pyenv"; do
        for python in "$root"/versions/"$1".*/bin/python; do
            if [ -n "$root" ] && answers "$python" "$1"; then echo "$python"; return 0; fi
        done
    done
    for uv in uv .uv/bin/uv; do
        python=$(UV_PYTHON_INSTALL_DIR="$PWD/.uv/python" "$uv" python find --no-project "$1" 2>/dev/null)
        if [ -n "$python" ] && answers "$python" "$1"; then echo "$python"; return 0; fi
    done
    return 1
}

find_any() {
    for version in "$@"; do
        find_python "$version" && return 0
    done
    return 1
}

# uv brings a ready-built Python; pyenv compiles one. Whatever they say goes to the log.
make_python() {
    say "no Python $1 found; making one (uv, then pyenv)"
    uv=uv
    if ! command -v uv >/dev/null 2>&1; then
        for some in python3 python; do
            "$some" -m venv .uv && .uv/bin/python -m pip install --quiet uv && break
        done >/dev/null 2>&1
        uv=.uv/bin/uv
    fi
    UV_PYTHON_INSTALL_DIR="$PWD/.uv/python" "$uv" python install "$1" >/dev/null 2>&1 && find_python "$1" && return 0
    pyenv install --skip-existing "$1" >/dev/null 2>&1 && find_python "$1" && return 0
    rm -rf .uv
    return 1
}

usable() {
    for version in "$@"; do
        if answers "$venv/bin/python" "$version"; then return 0; fi
    done
    return 1
}

if ! usable "$@"; then
    rm -rf "$venv"
    python=$(find_any "$@")
    if [ -z "$python" ] && [ "${ONLY_FOUND:-}" = 1 ]; then exit 3; fi
    if [ -z "$python" ]; then python=$(make_python "$1"); fi
    if [ -z "$python" ]; then
        say "Python $1 is needed, and neither python$1, pyenv nor uv has or can make one here; install it and call make again."
        exit 1
    fi
    say "$("$python" --version) makes $venv"
    "$python" -m venv "$venv" || exit 1
fi
say "installing the pinned stack of $requirements into $venv (6.5 GB, most of it torch: minutes without a word)"
# neurobench without its data sets, for which it wants audio libraries: a test compares its metrics with ours.
without=""
if [ "$requirements" = requirements.txt ]; then without="neurobench==2.3.0 snntorch==1.0.0 tqdm==4.70.1"; fi
# Without bytecode of 15,000 files, of which Python makes what it imports.
install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"; }
install -r "$requirements" && install --no-deps $without --editable . || {
    say "the installation failed (see above); call make again once that is mended."
    exit 1
}
