"""The console command `keras-deeplab`: a group of the commands in `scripts/`, one file each."""

import gc
import importlib.util
import re
import signal
import typing

import click

from keras_deeplab import __version__
from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.resources import scripts_dir

DEBUG = "keras_deeplab.debug"  # in `Context.meta`


class Command(click.Command):
    """A command that shows errors people can correct in one line, others with their traceback.

    One line: `InputError`, operating-system errors (which name their file or address), a loss that
    is not finite, Ctrl-C. `--debug` shows the traceback of these too.
    """

    def __init__(self, *args: typing.Any, **kwargs: typing.Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=lambda context, _, value: context.meta.update({DEBUG: value}),
                help="Show the traceback of every error.",
            )
        )

    def invoke(self, context: click.Context) -> typing.Any:
        try:
            return super().invoke(context)
        except (InputError, OSError, FloatingPointError) as error:
            if context.meta[DEBUG]:
                raise
            message, status = str(error), 1
        except KeyboardInterrupt as error:
            if context.meta[DEBUG]:
                raise
            status = 128 + getattr(error, "signal", signal.SIGINT)  # as a shell says it
            message = str(error) or "Interrupted."
        except Exception as error:
            message, status = _dataset_error(error) or "", 1
            if not message or context.meta[DEBUG]:
                raise
        # The error is out of scope here, so the dataset iterator in its traceback can be freed.
        # One that survives until the interpreter exits blocks the exit: its threads wait for it.
        gc.collect()
        if status != 1:
            click.echo(message, err=True)
            raise click.exceptions.Exit(status)
        raise click.ClickException(message)


def _dataset_error(error):
    """The message of a dataset's reader, which TensorFlow wraps in an error of its own."""
    if not type(error).__module__.startswith("tensorflow"):
        return None
    found = re.search(r"(?:Input|UnreadableFile)Error: (.+?)\s*Traceback", str(error), re.DOTALL)
    return found and found[1]


class ScriptGroup(click.Group):
    """Finds commands as files, and imports one only to run it or to show its help."""

    def list_commands(self, context):
        return sorted(path.stem for path in scripts_dir().glob("*.py") if path.stem[0] != "_")

    def get_command(self, context, name):
        if name not in self.list_commands(context):
            return None
        path = scripts_dir() / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"keras_deeplab.scripts.{name}", path)
        assert spec and spec.loader  # known suffix
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.command


@click.group(cls=ScriptGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-deeplab")
def main():
    """DeepLabV3+ for aerial and satellite images: train, evaluate, predict."""
