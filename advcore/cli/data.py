"""`python -m advcore data`: which datasets are here, and from where; `--download NAME` fetches one."""

from __future__ import annotations

import argparse

from advcore import data
from advcore.cli.options import progress_bar
from advcore.errors import DataError


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--download", metavar="NAME", help="fetch a dataset into the data folder")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.download:
        for done, expected in data.download(options.download):
            progress_bar(done / expected, f"{options.download} {done >> 20} of {expected >> 20} MiB")
    print(f"Data folder: {data.data_root()}")
    for name, info in data.datasets().items():
        for split in data.SPLITS:
            size = info.sizes.get(split, "")
            try:
                found = data.find(name, split)
            except DataError:
                print(f"  {name:<16} {split:<6} {size:>6}  not here")
                continue
            print(f"  {name:<16} {split:<6} {20 if found.samples else size:>6}  {found.words}, {found.path}")
