"""The console command `keras-deeplab`: a group of the commands in `scripts/`, one file each."""

import gc
import importlib.util
import re
import signal

import click

from keras_deeplab import __version__
from keras_deeplab._internal.resources import scripts_dir


class Command(click.Command):
    """A command that shows errors of users and their files in one line, without a traceback."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except (ValueError, OSError, FloatingPointError) as error:
            message, status = str(error), 1
        except KeyboardInterrupt as error:
            status = 128 + getattr(error, "signal", signal.SIGINT)  # as a shell says it
            message = str(error) or "Interrupted."
        except Exception as error:
            message, status = _dataset_error(error), 1
            if message is None:
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
    found = re.search(r"(?:Value|UnreadableFile)Error: (.+?)\s*Traceback", str(error), re.DOTALL)
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
