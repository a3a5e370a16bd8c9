"""Signals after a runtime was used: Ctrl-C and SIGTERM reach Python's handlers."""

import pytest
from runtimes.runtime_cases import NAMES, run_python

AFTER = """
import os, signal, sys
import numpy as np
from tiny import tiny_model
import keras_deeplab as kd
from keras_deeplab._internal.signal_stack import _Stack
import ctypes

def stack():
    found = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.sp, found.size

before = stack()
predictor = kd.compile_for_inference(tiny_model(), sys.argv[1], "float32")
predictor(np.zeros((1, 40, 48, 3), "uint8"))
assert stack() == before, (stack(), before)
seen = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *arguments: seen.append(arguments[0]))
    os.kill(os.getpid(), number)
assert seen == [signal.SIGTERM, signal.SIGINT]
print("handled")
"""


@pytest.mark.long
def test_handlers_run_on_the_stack_they_had():
    """A small one in its place overflows where registers are many: a segmentation fault."""
    for name in NAMES:
        output, _ = run_python(AFTER, name)
        assert output.split() == ["handled"], name
