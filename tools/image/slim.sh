#!/bin/sh
# Removes from an environment what no service reads: tests of libraries, files for compilers and type checkers, debug
# information, and onnxruntime's library for programs that are not Python. `sh slim.sh ENVIRONMENT`; STRIP names another
# strip than this machine's.
set -eu
for packages in "$1"/lib/python*/site-packages; do
    find "$packages" -type d \( -name tests -o -path '*/numpy/_core/include' -o -path '*/torch/include' -o -path '*/torch/bin' \) \
        -prune -exec rm -rf {} +
    find "$packages" -type f \( -name '*.a' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.pyx' -o -name 'libonnxruntime.so*' \) \
        -delete
    # Bytecode of what a service imports little or nothing of: torch's compiler, and what that one is built on.
    find "$packages" -type d -name __pycache__ \( -path '*/networkx/*' -o -path '*/setuptools/*' -o -path '*/sympy/parsing/*' \
        -o -path '*/sympy/physics/*' -o -path '*/torch/_inductor/*' -o -path '*/torch/testing/*' \) -prune -exec rm -rf {} +
    # Not the libraries in *.libs and torch/lib: they have no debug information.
    find "$packages" -type f -name '*.so' -not -path '*.libs/*' -not -path '*/torch/lib/*' \
        -exec "${STRIP:-strip}" --strip-debug {} +
done
