#!/bin/sh
# Sets up the frameworks that bench/compare and bench/predict run beside ftc, in a virtual environment of their own.
# The build never needs it. Usage: bench/peers.sh [DIR]      (default: build-peers in the repository's root)
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${1:-$root/build-peers}

if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "peers: python3 lacks venv: install the package python3-venv" >&2
    exit 1
fi
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"

missing=
peer() { # NAME PACKAGE...: installs, and says so where it cannot
    name=$1
    shift
    if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; then
        echo "peers: $name is ready"
    else
        echo "peers: $name could not be installed; bench/compare will leave it out" >&2
        missing="$missing $name"
    fi
}

peer PyTorch torch==2.13.0 # first: what follows must not choose another version
peer transformers transformers
peer JAX jax==0.10.2
peer Keras keras tensorflow-cpu
peer "ONNX Runtime" onnxruntime onnx onnxscript
peer OpenVINO openvino

echo "peers: in $venv; missing:${missing:- nothing}"
