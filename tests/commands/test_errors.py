"""Which errors commands show in one line, and which keep their traceback."""

import click
import pytest
from click.testing import CliRunner

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.group import Command

ERRORS = {
    "input": InputError("sub/pairs.csv: wrong"),
    "file": FileNotFoundError(2, "No such file or directory", "sub/a.png"),
    "fault": ValueError("operands could not be broadcast together"),
}


@click.command("failing", cls=Command)
@click.argument("kind")
def command(kind):
    raise ERRORS[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("input", "Error: sub/pairs.csv: wrong\n"),
        ("file", "No such file or directory: 'sub/a.png'"),
    ],
)
def test_what_people_can_correct_is_one_line(kind, message):
    result = CliRunner().invoke(command, [kind])
    assert result.exit_code == 1 and message in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("arguments", [["fault"], ["fault", "--debug"], ["input", "--debug"]])
def test_faults_and_debug_keep_the_traceback(arguments):
    result = CliRunner().invoke(command, arguments)
    assert result.exception is ERRORS[arguments[0]]
