"""The command line, one file a command."""

from al_lightning.cli.dispatch import main

__all__ = ["main"]
