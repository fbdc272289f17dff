"""The command line: `narrows COMMAND`. One file per command; each parses, calls one function and prints."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from typing import Any

import click

from narrows.cli.lazy import LazyGroup
from narrows.cli.speaking import INTERRUPTED
from narrows.streaming.memory import share_one_heap

__all__ = ["main", "narrows"]

# Command: (module, its click command). Imported when asked for.
_COMMANDS = {
    "water": ("narrows.cli.water", "water"),
    "run": ("narrows.cli.run", "run"),
    "enhance": ("narrows.cli.enhance", "enhance"),
    "stream-camera": ("narrows.cli.stream_camera", "stream_camera"),
    "plan": ("narrows.cli.plan", "plan"),
    "cost": ("narrows.cli.cost", "cost"),
    "design": ("narrows.cli.design", "design"),
    "check": ("narrows.cli.check", "check"),
    "calibrate": ("narrows.cli.calibrate", "calibrate"),
    "import-deepwatermap": ("narrows.cli.import_deepwatermap", "command"),
}


class _Commands(LazyGroup):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            _settle_process()
        return super().get_command(ctx, cmd_name)


def _settle_process() -> None:
    """Before torch is imported and starts its threads.

    With files read and written at the same time there are more threads than cores: those that wait must not spin.
    Importing and exporting make some hundred thousand objects that stay; looking through them for garbage again and
    again took a sixth of the time until the first row. Nor are they looked through at the end, when all of them go.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
    share_one_heap()


@click.group(
    cls=_Commands, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="narrows")
def narrows() -> None:
    """Convolutional networks for tight places: images of any height inside a memory budget.

    \b
    Map the surface water of a scene:
        narrows water LC09_L2SP_231062_20230723 -o water.tif --memory 1GB
    What would a network hold at this size?
        narrows plan mynet.py:build --size 7741x7591 --memory 512MB
    Which of its choices cost more here than they bring?
        narrows check mynet.py:build --size 1024x1024
    """


def main(args: list[str] | None = None) -> None:
    """The `narrows` command. A request to terminate is taken as an interrupt, so that nothing is left half-written."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        narrows.main(args=args, prog_name="narrows")
    except KeyboardInterrupt:  # outside a command: while starting or ending
        _leave_interrupted()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave_interrupted()
        raise


def _leave_interrupted() -> None:
    """Exit with code 130 at once.

    Where an interrupt came while Python ran code from a string (dataclasses do, while modules are imported), Python
    would end itself by the signal although the interrupt was handled.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
