"""What pyproject.toml has no words for: in a wheel, models/ is a part of the package (showtell/models)."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["showtell*"]), "showtell.models"],
    package_dir={"showtell.models": "models"},
)
