#!/bin/sh
# Removes from an environment what no service reads: tests of libraries, files for compilers and type checkers, debug
# information, and of onnxruntime its tools and its library for other languages. `sh slim.sh ENVIRONMENT`; STRIP names
# another strip than this machine's.
set -eu
for packages in "$1"/lib/python*/site-packages; do
    cd "$packages"
    find . -type d -name tests -prune -exec rm -rf {} +
    find . -type f \( -name '*.a' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.pyx' \) -delete
    # Not all of torch/bin: `import torch` fails without its torch_shm_manager.
    rm -rf numpy/_core/include torch/bin/protoc* torch/include
    rm -rf onnxruntime/capi/libonnxruntime.so* onnxruntime/quantization onnxruntime/tools onnxruntime/transformers
    # Bytecode of what a service imports little or nothing of: torch's compiler and what that one is built on, Apprise,
    # other databases, and languages that are shown in colours.
    for unread in apprise networkx pygments/lexers setuptools sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql \
        sqlalchemy/dialects/oracle sympy/parsing sympy/physics torch/_inductor torch/_vendor torch/testing; do
        if test -d "$unread"; then
            find "$unread" -type d -name __pycache__ -prune -exec rm -rf {} +
        fi
    done
    # Not the libraries in *.libs and torch/lib: they have no debug information.
    find . -type f -name '*.so' -not -path './*.libs/*' -not -path './torch/lib/*' -exec "${STRIP:-strip}" --strip-debug {} +
done
