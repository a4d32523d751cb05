"""`python -m advcore`: the engine's command line."""

import sys

from advcore.cli.main import main

for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="replace")  # a terminal or a pipe that has no ε gets a question mark and not a traceback
sys.exit(main())
