"""The house as DESIGN.md draws it, checked in the source: arrows point one way, and the engine runs on a bare machine."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from makers import REPOSITORY, pictures, save_checkpoint, write_parquet

from advcore.recipes import Recipe

ENGINE = {path.stem: path for path in sorted((REPOSITORY / "advcore").glob("*.py"))}
UI = sorted((REPOSITORY / "ui").rglob("*.py"))
PAGES = sorted((REPOSITORY / "app_pages").glob("*.py"))

# From the ground up; a module may import, directly or through others, only what stands below it. Modules that are not named
# here may stand anywhere, as long as no circle comes of it.
FLOORS: tuple[set[str], ...] = (
    {"errors", "class_names"},
    {"device", "models", "readers", "recipes", "distributed"},
    {"data"},
    {"attacks", "checkpoints"},
    {"robustness", "images", "study_attacks"},
    {"training"},
    {"results", "papers"},
    {"replication"},
    {"verdicts"},
    {"jobs", "papers_commands"},
    {"commands"},
    {"__main__"},
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# What a bare GPU box has; everything else is imported where it is used, and may be missing.
ALWAYS_THERE = {"torch", "numpy", "PIL", "pyarrow", "safetensors", "advcore"}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The full names that import statements among those nodes bring in."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def everywhere(path: Path) -> set[str]:
    """The packages a file imports at its top or in any function."""
    return {name.split(".")[0] for name in imports(ast.walk(tree(path)))}


def at_the_top(path: Path) -> set[str]:
    """The packages that must be there for the file to be imported at all."""

    def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
        yield node
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from outside_functions(child)

    return {name.split(".")[0] for name in imports(outside_functions(tree(path)))}


@functools.cache
def below(module: str) -> frozenset[str]:
    """The engine's modules that one imports directly, in functions too."""
    found = set()
    for name in imports(ast.walk(tree(ENGINE[module]))):
        package, *rest = name.split(".")
        if package == "advcore" and rest and rest[0] in ENGINE:
            found.add(rest[0])
    return frozenset(found)


def reached(module: str) -> set[str]:
    """All modules of the engine that come in with one."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for name in below(waiting.pop()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


# --- layers ----------------------------------------------------------------------------------------------------------


def test_the_plan_names_modules_that_exist() -> None:
    assert set(FLOOR) <= set(ENGINE)
    assert PAGES
    assert UI


@pytest.mark.parametrize("module", ENGINE)
def test_no_circle_of_imports(module: str) -> None:
    assert module not in reached(module)


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_imports_run_downward(module: str) -> None:
    upward = {name for name in reached(module) if FLOOR.get(name, -1) >= FLOOR[module]}
    assert not upward


@pytest.mark.parametrize("module", ENGINE)
def test_the_engine_knows_nothing_of_the_app(module: str) -> None:
    foreign = everywhere(ENGINE[module]) & {"streamlit", "plotly", "ui", "app_pages", "app", "tests", "benchmarks"}
    assert foreign <= ({"plotly"} if module == "figures" else set())


def test_nothing_in_the_engine_imports_the_figures() -> None:
    assert [module for module in ENGINE if "figures" in below(module)] == []


@pytest.mark.parametrize("module", [name for name in ENGINE if name != "figures"])
def test_only_what_is_always_there_is_imported_at_the_top(module: str) -> None:
    assert at_the_top(ENGINE[module]) - sys.stdlib_module_names <= ALWAYS_THERE


@pytest.mark.parametrize("path", UI, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_what_pages_share_does_not_know_the_pages(path: Path) -> None:
    assert not everywhere(path) & {"app_pages", "app"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_contain_no_tensor_maths(path: Path) -> None:
    assert not everywhere(path) & {"torch", "numpy", "app", "app_pages"}


def test_the_entry_is_the_entry_and_nothing_else() -> None:
    assert everywhere(REPOSITORY / "app.py") - sys.stdlib_module_names <= {"streamlit", "ui", "app_pages"}


# --- untrusted files -------------------------------------------------------------------------------------------------


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, with what is called as it is written."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize(
    "path", [*ENGINE.values(), *UI, *PAGES, REPOSITORY / "app.py"], ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    assert not everywhere(path) & {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    for name, call in calls(path):
        assert name not in {"eval", "exec", "compile", "__import__"}
        if name in {"torch.load", "load"} and "torch" in everywhere(path):
            # torchvision publishes its weights in no other form; these are checked against their fingerprint first.
            assert path.stem == "pretrained"
            assert any(item.arg == "weights_only" and ast.unparse(item.value) == "True" for item in call.keywords)
        assert not any(item.arg == "allow_pickle" and ast.unparse(item.value) != "False" for item in call.keywords)


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ENGINE)
def test_whatever_is_public_says_what_it_is(module: str) -> None:
    source = tree(ENGINE[module])
    assert ast.get_docstring(source)
    silent = [
        node.name
        for node in source.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize("module", ENGINE)
def test_whatever_is_public_is_typed(module: str) -> None:
    """Every argument and result of the public functions, and of the public classes' methods."""
    bare = []
    for node in tree(ENGINE[module]).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            functions = (
                [node]
                if isinstance(node, ast.FunctionDef)
                else [part for part in node.body if isinstance(part, ast.FunctionDef)]
            )
            for function in functions:
                given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
                typed = all(argument.annotation or argument.arg in {"self", "cls"} for argument in given)
                if not typed or function.returns is None:
                    bare.append(f"{node.name}.{function.name}")
    assert bare == []


# --- a bare machine --------------------------------------------------------------------------------------------------

BARE = """
import importlib, pkgutil, sys

# None is what Python itself takes for "not there": importing it fails, and importlib.util.find_spec finds nothing.
BLOCKED = sys.argv.pop(1).split(",")
sys.modules.update(dict.fromkeys(BLOCKED))
import advcore
for module in pkgutil.iter_modules(advcore.__path__):
    if module.name not in ("figures", "__main__"):
        importlib.import_module(f"advcore.{module.name}")
assert not any(sys.modules[name] for name in BLOCKED)
from advcore.commands import main
sys.exit(main(sys.argv[1:]))
"""
ABSENT = "streamlit,plotly,foolbox,sklearn,torchvision,torchattacks,art,scipy,pandas,eagerpy"


def on_a_bare_machine(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Import the whole engine where all that may be absent is, then run a command there."""
    return subprocess.run(
        [sys.executable, "-c", BARE, ABSENT, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_curve_runs_on_a_bare_machine(tmp_path: Path, data_folder: Path, own_checkpoints: Path) -> None:
    write_parquet(data_folder / "mnist" / "test.parquet", list(pictures(30, 28)), [index % 10 for index in range(30)])
    recipe = Recipe(dataset="mnist", architecture="srivathsav_cnn", epochs=1)
    checkpoint = save_checkpoint(own_checkpoints, recipe, (1, 28, 28))
    ended = on_a_bare_machine(tmp_path, "curve", "--checkpoint", checkpoint.id, "--epsilons", "0,0.1", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    (result,) = json.loads(ended.stdout)["results"]
    assert (result["images"], result["samples"], len(result["points"])) == (30, False, 2)


def test_what_a_bare_machine_has_not_is_said(tmp_path: Path, own_checkpoints: Path) -> None:
    checkpoint = save_checkpoint(own_checkpoints)
    ended = on_a_bare_machine(tmp_path, "curve", "--checkpoint", checkpoint.id)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "pip install scikit-learn" in ended.stderr
