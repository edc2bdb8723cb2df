"""Version of the package, as in the changelog."""

__version__ = "0.1.0"
