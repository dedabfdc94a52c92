"""The command line, ``mrseg``: thin commands over the library. Exit codes: 0, 2, 3, 130 (see errors)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer

from napari_mrseg.cli import (
    cohort,
    machine,
    missing,
    models,
    scoring,
    serve,
    subject,
    training,
    watch,
    window,
)
from napari_mrseg.cli.options import one_line, say
from napari_mrseg.errors import Cancelled, DeviceError, InputError, MrsegError

app = typer.Typer(
    name="mrseg",
    help="See how a segmentation changes with the modalities you have. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (window, watch, subject, missing, cohort, serve, training, scoring, machine):
    app.add_typer(part.app)
app.add_typer(models.app, name="models")


def main(arguments: Iterable[str] | None = None) -> int:
    """Run a command; returns the exit code. Every error is one line on stderr, without a traceback."""
    usage_error: Any = typer.BadParameter.__mro__[1]  # click's own, wherever typer keeps it
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        code = code if isinstance(code, int) else 0
        if code == Cancelled.exit_code:  # typer's way of passing on Ctrl-C
            raise typer.Abort
        return code
    except MrsegError as error:
        say(one_line(error))
        return error.exit_code
    except usage_error as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "mrseg"
        say(one_line(f"{error.format_message()} See {command} --help."))
        return InputError.exit_code
    except MemoryError:
        say("The memory of this computer ran out; close other programs, or take a smaller model.")
        return DeviceError.exit_code
    except OSError as error:
        name = Path(str(error.filename)).name if error.filename else "a file"
        say(
            one_line(
                f"{name}: {error.strerror or error}; check the path, the rights and the space on the disk."
            )
        )
        return InputError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("Cancelled; nothing was written.")
        return Cancelled.exit_code


def run() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks a letter must not end the work
    with suppress(ValueError):  # not on the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left half written
    sys.exit(main())
