"""The command line: `detkit COMMAND`. Each command is a file here, imported when it is asked for."""

from __future__ import annotations

import os
import shlex
import sys
import traceback

import click

from detkit.cli.lazy import LazyGroup
from detkit.errors import DetkitError

COMMANDS = (
    "demo",
    "train",
    "eval",
    "predict",
    "explain",
    "check",
    "inspect",
    "export",
    "propose",
    "data",
    "zoo",
    "garden",
)


class Commands(LazyGroup):
    """Imports commands lazily, and turns exceptions into messages and exit codes.

    Exit codes: 0 done, 1 problems found or a bug, 2 wrong input, 130 interrupted.
    """

    package, names = __name__, COMMANDS

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            context.exit(130)
        except DetkitError as error:
            _explain(context, f"Error: {error}")
            context.exit(2)
        except Exception as error:
            _explain(context, _bug(error))
            context.exit(1)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
    epilog="Start with `detkit demo`: it makes a detector from five photos, offline, in about a minute.",
)
@click.version_option(package_name="detkit", message="detkit %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error and TensorFlow's own messages.")
def main(debug: bool) -> None:
    """Make an object detector for your own objects from a handful of photos.

    `detkit COMMAND --help` explains a command and gives examples.
    """
    if not debug:
        # TensorFlow reads it when it is imported. Its errors still come as Python exceptions.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _explain(context: click.Context, message: str) -> None:
    if context.params["debug"]:
        traceback.print_exc()
    click.echo(message, err=True)


def _bug(error: Exception) -> str:
    again = shlex.join(["detkit", "--debug", *sys.argv[1:]])
    return (
        f"{type(error).__name__}: {error}\n"
        "This is a bug in detkit: an error that it should have explained.\n"
        f"  fix: See where it happens with `{again}`, and report that text."
    )
