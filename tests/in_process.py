"""Commands in the process of the tests: TensorFlow starts once."""

import sys
from unittest import mock

from click.testing import CliRunner

from keras_deeplab.commands.group import main


def run(*arguments, check=True):
    """Runs `keras-deeplab` with these arguments; returns Click's result."""
    arguments = [str(argument) for argument in arguments]
    with mock.patch.object(sys, "argv", ["keras-deeplab", *arguments]):  # run.json notes them
        result = CliRunner().invoke(main, arguments)
    if check:
        assert result.exit_code == 0, (result.output, result.exception)
    return result
