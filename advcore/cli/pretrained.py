"""`python -m advcore pretrained`: which published ImageNet models are here; `--download ID` fetches one."""

from __future__ import annotations

import argparse

from advcore.cli.options import progress_bar
from advcore.models import pretrained


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--download", metavar="ID", help="fetch a model's weights")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.download:
        for done, expected in pretrained.download(options.download):
            progress_bar(done / expected, f"{options.download} {done >> 20} of {expected >> 20} MiB")
    print(f"Weights: {pretrained.cache_folder()}")
    for item in pretrained.available().values():
        print(f"  {item.id:<32} {item.title}. {item.about}")
    for model_id, reason in pretrained.missing().items():
        print(f"  {model_id:<32} not here. {reason}")
