"""The programs: `python -m advcore` or `advcore`, the engine's command line, and `adversarial-lab`, the app."""

import os
import sys

from advcore.cli.main import main


def engine(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # where the output's encoding has no ε, a question mark is printed instead
    code = main(arguments)
    if (distributed := sys.modules.get("advcore.distributed")) and distributed.several():
        # A thread of gloo that releases a tensor while the interpreter shuts down aborts the process: leave without it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def app() -> None:
    """Start the app."""
    engine(["app", *sys.argv[1:]])


if __name__ == "__main__":
    engine()
