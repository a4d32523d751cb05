"""The entry point of `python -m advcore`: one module a command, errors as one sentence on stderr with exit code 2."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from collections.abc import Sequence

from advcore.cli.options import Parser
from advcore.errors import AdvcoreError

# Each is the module of that name in this folder. Its `add(parser)` declares the options and the function that runs it; it is
# imported when the command is given, so that `--help` does not wait for torch.
COMMANDS = {
    "curve": "accuracy against ε",
    "evaluate": "robust accuracy at one ε, under AutoAttack or another attack",
    "diagnose": "ten checks of whether a model's robustness can be believed",
    "attack": "attack one image and write the pictures",
    "map": "a model's classes on a plane through one test image",
    "gradient": "what a model looks at: its input gradient, and an attack with a large budget",
    "inside": "test images in a model's last hidden layer, in two dimensions",
    "certify": "the L2 radius that randomized smoothing proves for one image",
    "transfer": "attacks made on each model of a dataset, tried on all of them",
    "train": "train a model from a recipe",
    "checkpoints": "the models and their figures",
    "data": "which datasets are here, and from where",
    "pretrained": "published ImageNet models, standard and robust, for your own pictures",
    "app": "start the app in the browser",
    "papers": "the studies: published figures, measured figures, measure again",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 2 for bad input, 1 for a closed pipe or a lost process, 130 for Ctrl+C."""
    try:
        options = parser().parse_args(arguments)
        return options.run(options) or 0
    except AdvcoreError as error:
        print("advcore:", *str(error).split(), file=sys.stderr)  # on one line, even when it quotes a name with line breaks
        return 2
    except BrokenPipeError:
        return 1
    except OSError as error:
        print(f"advcore: {error.filename or 'A file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 2
    except RuntimeError as error:
        from advcore import distributed

        if not distributed.several():
            raise
        print(f"advcore: this process lost the others ({str(error).splitlines()[0][:160]}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("advcore: stopped.", file=sys.stderr)
        return 130
    finally:
        if distributed := sys.modules.get("advcore.distributed"):
            distributed.close()


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    whole = Parser(prog="python -m advcore", description="Adversarial examples: attack, measure, defend.")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    for name, help_text in COMMANDS.items():
        commands.add_parser(name, help=help_text, add=functools.partial(_add, name))
    return whole


def _add(name: str, command: argparse.ArgumentParser) -> None:
    importlib.import_module(f"advcore.cli.{name}").add(command)
