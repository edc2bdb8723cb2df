"""Packages of the wheel: those of ``al_lightning``, and the folder ``configs`` as ``al_lightning.configs``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["al_lightning*"]), "al_lightning.configs"],
    package_dir={"al_lightning.configs": "configs"},
)
