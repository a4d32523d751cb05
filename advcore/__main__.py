"""`python -m advcore`: the engine's command line."""

import os
import sys

from advcore.cli.main import main

for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="replace")  # where the output's encoding has no ε, a question mark is printed instead
code = main()
if os.environ.get("WORLD_SIZE", "1") != "1":
    # A thread of gloo that releases a tensor while the interpreter shuts down aborts the process: leave without shutting down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
sys.exit(code)
