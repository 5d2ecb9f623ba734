"""Package the top-level models/ directory as showtell/models, which pyproject.toml cannot express."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["showtell*"]), "showtell.models"],
    package_dir={"showtell.models": "models"},
)
