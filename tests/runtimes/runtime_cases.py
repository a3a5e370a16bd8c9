"""Every installed runtime with each of its precisions, and models to compile."""

import pytest

from keras_deeplab.runtimes.registry import installed_runtimes

# bfloat16 keeps 8 bits of a number; it runs everywhere, if slowly where it is not native.
CASES = [
    pytest.param(runtime.name, precision, id=f"{runtime.name}-{precision}")
    for runtime in installed_runtimes()
    for precision in runtime.precisions
]
NAMES = [runtime.name for runtime in installed_runtimes()]
FILES = [runtime for runtime in installed_runtimes() if runtime.suffix]
