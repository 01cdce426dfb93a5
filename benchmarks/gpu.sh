#!/bin/sh
# What one GPU does with this project: see benchmarks/gpu.py. For a machine that has torch with CUDA;
# what else is needed is installed from the folder wheels/, if there is one, and stays beside it.
set -e
here="$(cd "$(dirname "$0")/.." && pwd)"
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
if [ -d "$here/wheels" ]; then
    python -m pip install --quiet --no-index --no-deps --target "$here/wheels/installed" --upgrade \
        "$here"/wheels/*.whl
    PYTHONPATH="$PYTHONPATH:$here/wheels/installed"
fi
export PYTHONPATH
exec python -m benchmarks.gpu "$@"
