"""`adversarial-lab`, or `python -m advcore app`: start the app and open it in the browser."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import runpy
import sys
import threading

from advcore import data
from advcore.errors import AdvcoreError, DataError
from advcore.models import checkpoints


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--address", default="localhost", help="0.0.0.0 opens the app to the network (default: this machine)")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--public", action="store_true", help="visitors have limits and see their own trainings alone")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("streamlit") is None:
        raise AdvcoreError("The app needs Streamlit; run `pip install 'adversarial-lab[app]'`.")
    if options.public:
        os.environ["ADVCORE_PUBLIC"] = "1"
    # Before torch is imported, which reads it. app.py sets it too, for those who start Streamlit themselves.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app = checkpoints.app_root() / "app.py"
    print("Loading …", flush=True)
    loading = threading.Thread(target=_load, name="loading")
    loading.start()
    importlib.import_module("streamlit.web.cli")
    loading.join()
    sys.argv = ["streamlit", "run", str(app), "--server.address", options.address, "--server.port", str(options.port)]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


def _load() -> None:
    """Import and read what the first page needs, so that the server can show it as soon as it answers."""
    for name in ("torch", "pyarrow.parquet", "plotly.graph_objects", "advcore.evaluation.scrub", "advcore.jobs.queue"):
        importlib.import_module(name)
    with contextlib.suppress(DataError):  # the page says what is wrong
        for first in list(data.available())[:1]:
            data.test_split(first)
