"""What the four commands share: clean messages and exit codes."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from pathlib import Path
from typing import NoReturn, TextIO

import click

from store import signals
from store.errors import MinarchError
from store.signals import INTERRUPTED

USAGE, RUNTIME = 2, 1
# Programs that read, compute and end leave little garbage in cycles. Looking for it after every 700 new objects, as
# Python does, is a tenth of an analysis; the last number puts off what looks through all objects.
COLLECTED_AFTER = (100_000, 50, 1000)


def run(command: click.Command, name: str, *, interrupt: signals.Answer = "raise") -> NoReturn:
    """Run a click command as the program `name` and exit; `interrupt` is its answer to a signal to stop.

    Exit codes: 0 done, 1 a fault at run time, 2 wrong usage, 130 interrupted. Faults are one line on standard
    error; a traceback is a bug.
    """
    gc.set_threshold(*COLLECTED_AFTER)
    _open_standard_streams()
    output = sys.stdout
    try:
        code = _invoke(command, name, interrupt)
        sys.stdout.flush()  # Here, where a fault is understood, not at the interpreter's end.
    except click.exceptions.NoArgsIsHelpError as error:
        _complain(error.ctx.get_help() if error.ctx else error.format_message(), USAGE)
    except click.UsageError as error:
        _complain(_line(name, _usage_message(error)), USAGE)
    except (click.exceptions.Abort, KeyboardInterrupt):
        with contextlib.suppress(SystemExit):
            if signals.speak():
                _complain(_line(name, "interrupted"), INTERRUPTED)
        signals.end()
    except click.ClickException as error:
        _complain(_line(name, error.format_message()), RUNTIME)
    except MinarchError as error:
        _complain(_line(name, str(error)), RUNTIME)
    except BrokenPipeError:
        _stop_quietly()
    except SystemExit:
        if sys.stdout is output:
            raise
        # Click caught what comes next, and took standard output away.
        sys.stdout = output
        _stop_quietly()
    except OSError as error:
        _complain(_line(name, _system_message(error)), RUNTIME)
    except UnicodeError as error:
        _complain(_line(name, f"an argument or a name is not UTF-8 ({error})"), RUNTIME)
    except MemoryError:
        _complain(_line(name, "the memory is used up"), RUNTIME)
    sys.exit(code if isinstance(code, int) else 0)


def _invoke(command: click.Command, name: str, interrupt: signals.Answer) -> object:
    try:
        with signals.answering(interrupt):
            return command.main(prog_name=name, standalone_mode=False)
    except Exception:
        # What an interrupt becomes when it hits, say, a module in C while that is imported.
        if signals.received():
            raise KeyboardInterrupt from None
        raise


def standard_input() -> str:
    """Return all of standard input.

    Raises:
        MinarchError: it is closed, or no text.
    """
    try:
        text = sys.stdin.read()
        text.encode()  # Some locales let bytes through that are no text.
        return text
    except UnicodeError as error:
        raise MinarchError("standard input is not UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise MinarchError("standard input is closed") from error


def _open_standard_streams() -> None:
    """Put something harmless where standard streams are closed: the next file that is opened would take their place."""
    for number, (stream, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # Reading and writing fail as they should, since each is opened for the other.
            os.open(os.devnull, os.O_WRONLY if mode == "r" else os.O_RDONLY)
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(number, mode, closefd=False))  # noqa: SIM115  # It lives as long as we do.
    for writer in (sys.stdout, sys.stderr):
        if isinstance(writer, io.TextIOWrapper):
            writer.reconfigure(errors="backslashreplace")  # A terminal that lacks a character is no reason to stop.


def _stop_quietly() -> NoReturn:
    """Exit: the reader of a pipe, such as `head`, went away. Nothing is wrong, and nothing more may be written."""
    _forget(sys.stdout)
    sys.exit(0)


def _forget(stream: TextIO) -> None:
    """Let what is still to be written go nowhere, so that the interpreter's end has nothing to complain of."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _system_message(error: OSError) -> str:
    """Return what the system says, with the file's name where it has one."""
    try:
        Path.cwd()
    except OSError:
        return "the current folder is gone; change to another one"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"cannot read or write: {error.strerror or error}"


def _complain(text: str, code: int) -> NoReturn:
    """Say what is wrong and exit; where standard error is full or closed the exit code has to say it."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _forget(stream)
    sys.exit(code)


def _line(name: str, message: str) -> str:
    return f"{name}: {' '.join(message.split())}"


def _usage_message(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    context = error.ctx
    if context is None:
        return message
    if isinstance(error, click.NoSuchOption):
        listed = [p for p in context.command.get_params(context) if not getattr(p, "hidden", False)]
        options = sorted(option for parameter in listed for option in parameter.opts if option.startswith("--"))
        return f"{message.split(' Did you mean')[0].rstrip('.')}; {context.command_path} takes {', '.join(options)}"
    if isinstance(context.command, click.Group) and message.startswith("No such command"):
        commands = ", ".join(context.command.list_commands(context))
        return f"{message.split(' Did you mean')[0].rstrip('.')}; the commands are {commands}"
    return f"{message} (see '{context.command_path} --help')"
