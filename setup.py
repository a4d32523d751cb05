"""What is packed: the engine as `advcore`, and the app with its checkpoints as `adversarial_lab`. The rest: pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["advcore*"]), "adversarial_lab"], package_dir={"adversarial_lab": "."})
