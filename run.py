#!/usr/bin/env python3
"""The only entry point: `python run.py COMMAND`. A command's code is read when that command is called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from pathlib import Path

gc.disable()  # imports make millions of objects and no garbage; commands that compute switch it on again

import click  # noqa: E402

from perennial import __version__  # noqa: E402
from perennial.errors import PerennialError, suggestion  # noqa: E402

COMMANDS = {
    "demo": "Run the whole loop of two systems, offline, in under a minute.",
    "collect": "Collect a system's records into a dataset version.",
    "data": "List, show, compare and export the versions of a dataset.",
    "train": "Collect, check, train, prove and, if the evidence says so, promote.",
    "backtest": "Walk through the past: fit again and again, and predict what came next.",
    "schedule": "Collect and train at their times, or show and pause them.",
    "promote": "Release a bundle by hand, with a reason that goes into the ledger.",
    "rollback": "Go back to an earlier release whose golden rows still match.",
    "ab": "Try a version beside the champion, and see whether it is better.",
    "serve": "Answer predictions over HTTP with the released model.",
    "predict": "Predict a file of rows with the released model, without a server.",
    "truth": "Say what really happened, beside what was predicted.",
    "journal": "Show what the journal holds, or delete what is beyond its limits.",
    "score": "Score the rows of a database of your own with the released model.",
    "review": "Export scores for people to look at, and import what they say.",
    "status": "Show what serves, since when and why.",
    "leaderboard": "List all versions of a system, best first.",
    "compare": "Set two versions of a system side by side.",
    "alerts": "List open and closed incidents, or test the alert addresses.",
    "ui": "Open a page to try predictions, see forecasts and review scores.",
    "dashboard": "Open ZenML's dashboard on the runs of this folder.",
    "config": "Show a config with the origin of every value, or the schema.",
    "stack": "List the stacks, or check one before it is needed.",
    "doctor": "Check this machine and the state folder, with a remedy for all it finds.",
}


class Commands(click.Group):
    """Imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of a working day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"commands.{cmd_name}").cli
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with our sentence for an unknown command."""
        if args and args[0] not in COMMANDS:
            ctx.fail(f"expected a command, found {args[0]!r}{suggestion(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show the stack trace of an error. Also works after the command.")
def cli(debug: bool) -> None:
    """Perennial keeps a model alive: one config file, one closed loop.

    State lives in .perennial/, or where PERENNIAL_HOME points. Exit codes: 0 done, 1 failed, 2 wrong input.
    """


def main(arguments: list[str]) -> int:
    """Runs one command; returns 0 when it is done, 1 when it failed, 2 when its input is wrong."""
    debug = "--debug" in arguments
    if debug:
        os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "INFO")
    try:
        cli.main([a for a in arguments if a != "--debug"], prog_name="run.py", standalone_mode=False)
    except PerennialError as error:
        return _failed(error, str(error), error.exit_code, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201
        return 2
    except click.UsageError as error:
        return _failed(error, f"{error.format_message()} (see `{_usage(error)} --help`)", 2, debug)
    except (KeyboardInterrupt, click.Abort) as error:
        return _failed(error, "interrupted; run the same command again to go on", 1, debug)
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001  (the last line of defence: no trace reaches a user unasked)
        return _failed(error, _told(error), 1, debug)
    return 0


def _usage(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "run.py"


def _told(error: Exception) -> str:
    from commands.trouble import sentence

    found = (str(error).splitlines() or ["no message"])[0]
    unexpected = f"unexpected {type(error).__name__}: {found}; run it again with --debug for the stack trace"
    return sentence(error) or unexpected


def _failed(error: BaseException, sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # tearing down thousands of modules takes longer than most commands
