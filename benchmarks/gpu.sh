#!/bin/sh
# What one GPU does with this project: see benchmarks/gpu.py. For a machine that has torch with CUDA;
# what else is needed is installed from the folder wheels/, if there is one, and stays beside it.
set -e
cd "$(dirname "$0")/.."
if [ -d wheels ]; then
    python -m pip install --quiet --no-index --find-links wheels --no-deps --target wheels/installed \
        --upgrade wheels/*.whl
    PYTHONPATH="$PWD/wheels/installed${PYTHONPATH:+:$PYTHONPATH}"
    export PYTHONPATH
fi
exec python -m benchmarks.gpu "$@"
