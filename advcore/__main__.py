"""`python -m advcore`: the engine's command line."""

import sys

from advcore.cli.main import main

for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="replace")  # where the output's encoding has no ε, a question mark is printed instead
sys.exit(main())
