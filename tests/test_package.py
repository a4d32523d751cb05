"""The wheel holds the engine, the app and its checkpoints, and both programs run where it is installed."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.makers import REPOSITORY

pytest.importorskip("setuptools", "77")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what a container is given."""
    place = tmp_path_factory.mktemp("wheel")
    given = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in (path for pattern in given for path in REPOSITORY.glob(pattern)):
        if path.is_dir():
            shutil.copytree(path, place / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, place)
    # Weights hardly shrink, and compressing 58 MB would take longer than all else.
    code = "import zlib; zlib.Z_DEFAULT_COMPRESSION = 0; from setuptools import build_meta; build_meta.build_wheel('dist')"
    built = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    return next(place.glob("dist/*.whl"))


def tracked(*folders: str) -> set[str]:
    """The files of these folders that the repository has."""
    found = subprocess.run(["git", "ls-files", *folders], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("needs git")
    return {name for name in found.stdout.splitlines() if (REPOSITORY / name).exists()}


def test_the_wheel_holds_the_engine_the_app_and_its_checkpoints(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(about))
    packed = {name.removeprefix("adversarial_lab/") for name in names}
    wanted = tracked("advcore", "ui", "pages", "lessons", "checkpoints", ".streamlit") | {"app.py"}
    assert {name for name in wanted if not name.startswith("pages/your-")} - packed == set()
    assert not any(name.startswith(("tests", "benchmarks", "runs", "data")) or name.endswith(".pyc") for name in packed)
    assert set(metadata.get_all("Provides-Extra")) == {"app", "hub", "dev"}
    required = metadata.get_all("Requires-Dist")
    assert any(line.startswith("streamlit") and "app" in line for line in required)
    assert not any(line.startswith("streamlit") and "extra" not in line for line in required)


def test_both_programs_run_where_the_wheel_is_installed(wheel: Path, tmp_path: Path) -> None:
    """In a new environment, which finds the other packages where this one does: no network is needed."""
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(home), "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--quiet", "--disable-pip-version-check", str(wheel)], cwd=tmp_path, check=True, timeout=300)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ADVCORE_CHECKPOINTS")}

    def printed(words: Sequence[str]) -> str:
        run = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout

    listed = json.loads(printed([str(programs / "advcore"), "checkpoints", "--json"]))["checkpoints"]
    assert {f"checkpoints/{item['id']}.safetensors" for item in listed} == {
        name for name in tracked("checkpoints") if name.endswith(".safetensors")
    }
    assert "--port" in printed([str(programs / "adversarial-lab"), "--help"])
    code = "from advcore.models import checkpoints; print(checkpoints.app_root() / 'app.py')"
    app = Path(printed([str(programs / "python"), "-c", code]).strip())
    assert (app.is_file(), home in app.parents) == (True, True)
