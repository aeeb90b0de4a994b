#!/bin/sh
# The part of the suite that needs no Lava, on a current Python and a current stack, in .venv-modern: tools/test_modern.sh TEST_FILE...
# Its one Lava network runs in .venv, as a user of a current Python has it. Where no such Python is here, says so. Called by the Makefile.
set -u
cd "$(dirname "$0")/.." || exit 1
venv=.venv-modern
wanted=requirements-modern.txt

if [ ! "$venv/.ready" -nt "$wanted" ] || [ ! "$venv/.ready" -nt tools/setup.sh ]; then
    ONLY_FOUND=1 sh tools/setup.sh "$venv" "$wanted" 3.11 3.12 3.13
    status=$?
    if [ "$status" = 3 ]; then
        echo "modern: no Python 3.11, 3.12 or 3.13 is here: the part of the suite that needs no Lava ran on no current Python"
        exit 0
    fi
    [ "$status" = 0 ] || exit "$status"
    touch "$venv/.ready"
fi
"$venv/bin/python" -c "import sys, torch, numpy; print('modern: Python', sys.version.split()[0] + ', torch', torch.__version__ + ', NumPy', numpy.__version__ + ':', *sys.argv[1:])" "$@"
DNISNM_LAVA_PYTHON="$PWD/.venv/bin/python" OMP_NUM_THREADS=1 exec "$venv/bin/python" -m pytest --quiet --numprocesses 2 --dist loadfile "$@"
