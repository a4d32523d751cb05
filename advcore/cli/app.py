"""`adversarial-lab`, or `python -m advcore app`: start the app and open it in the browser."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys

from advcore.errors import AdvcoreError
from advcore.models import checkpoints


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--address", default="localhost", help="0.0.0.0 opens the app to the network (default: this machine)")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--public", action="store_true", help="visitors have limits and see their own trainings alone")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("streamlit") is None:
        raise AdvcoreError("The app needs Streamlit; run `pip install 'adversarial-lab[app]'`.")
    words = [sys.executable, "-m", "streamlit", "run", str(checkpoints.app_root() / "app.py")]
    words += ["--server.address", options.address, "--server.port", str(options.port)]
    public = {"ADVCORE_PUBLIC": "1"} if options.public else {}
    return subprocess.run(words, env=os.environ | public, check=False).returncode
