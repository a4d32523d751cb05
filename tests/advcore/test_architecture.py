"""The house as DESIGN.md draws it: the layers of import-linter hold, and the engine runs on a bare machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from advcore.recipe import Recipe
from tests.makers import REPOSITORY, pictures, save_checkpoint, write_parquet


def test_the_layers_hold() -> None:
    program = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


# --- a bare machine --------------------------------------------------------------------------------------------------

BARE = """
import importlib, pkgutil, sys

# None is what Python itself takes for "not there": importing it fails, and importlib.util.find_spec finds nothing.
BLOCKED = sys.argv.pop(1).split(",")
sys.modules.update(dict.fromkeys(BLOCKED))
import advcore
for module in pkgutil.walk_packages(advcore.__path__, "advcore."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not any(sys.modules[name] for name in BLOCKED)
from advcore.cli.main import main
print(*(main(words.split()) for words in sys.argv[1:]))
"""
ABSENT = "streamlit,plotly,foolbox,sklearn,torchvision,torchattacks,art,pandas,eagerpy"


def test_the_engine_runs_on_a_bare_machine(tmp_path: Path, data_folder: Path, own_checkpoints: Path) -> None:
    """One curve is measured; what another one needs and is absent is named in one line."""
    write_parquet(data_folder / "mnist" / "test.parquet", list(pictures(30, 28)), [index % 10 for index in range(30)])
    mnist = save_checkpoint(own_checkpoints, Recipe(dataset="mnist", architecture="srivathsav_cnn", epochs=1), (1, 28, 28))
    digits = save_checkpoint(own_checkpoints)
    ended = subprocess.run(
        [
            *(sys.executable, "-c", BARE, ABSENT),
            f"curve --checkpoint {mnist.id} --epsilons 0,0.1 --json",
            f"curve --checkpoint {digits.id}",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    told, codes = ended.stdout.strip().rsplit("\n", 1)
    assert (ended.returncode, codes) == (0, "0 2"), ended.stderr
    (result,) = json.loads(told)["results"]
    assert (result["images"], result["samples"], len(result["points"])) == (30, False, 2)
    assert ended.stderr.count("\n") == 1
    assert "pip install scikit-learn" in ended.stderr
