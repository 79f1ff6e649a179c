"""What the four commands share: clean messages and exit codes."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

import click

from store.errors import MinarchError

USAGE, RUNTIME, INTERRUPTED = 2, 1, 130


def run(command: click.Command, name: str) -> NoReturn:
    """Run a click command as the program `name` and exit.

    Exit codes: 0 done, 1 a fault at run time, 2 wrong usage, 130 interrupted. Faults are one line on standard
    error; a traceback is a bug.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A terminal that lacks a character is no reason to stop.
    try:
        code = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()  # Here, where a reader that went away is understood, not at the interpreter's end.
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        sys.exit(USAGE)
    except click.UsageError as error:
        _complain(name, _usage_message(error))
        sys.exit(USAGE)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _complain(name, "interrupted")
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        _complain(name, error.format_message())
        sys.exit(RUNTIME)
    except MinarchError as error:
        _complain(name, str(error))
        sys.exit(RUNTIME)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, went away: nothing is wrong, and nothing more may be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(name: str, message: str) -> None:
    click.echo(f"{name}: {' '.join(message.split())}", err=True)


def _usage_message(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    context = error.ctx
    if context is None:
        return message
    if isinstance(error, click.NoSuchOption):
        options = sorted(o for p in context.command.get_params(context) for o in p.opts if o.startswith("--"))
        return f"{message.split(' Did you mean')[0].rstrip('.')}; {context.command_path} takes {', '.join(options)}"
    if isinstance(context.command, click.Group) and message.startswith("No such command"):
        commands = ", ".join(context.command.list_commands(context))
        return f"{message.split(' Did you mean')[0].rstrip('.')}; the commands are {commands}"
    return f"{message} (see '{context.command_path} --help')"
