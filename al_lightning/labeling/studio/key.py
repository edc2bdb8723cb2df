"""The key of a Label Studio server: it comes from the environment, and is written nowhere."""

import os
from collections.abc import Callable

from requests import PreparedRequest
from requests.auth import AuthBase

from al_lightning.errors import InputError

VARIABLE = "LABEL_STUDIO_API_KEY"


def key_of_environment() -> str:
    """Returns the key.

    Raises:
        InputError: If there is none, or it cannot be one. The message does not contain it.
    """
    key = os.environ.get(VARIABLE, "").strip()
    if not key:
        raise InputError(
            f"Expected the environment variable {VARIABLE} to be a key of Label Studio, but it is not set; Label "
            "Studio shows it under Account & Settings."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"Expected the environment variable {VARIABLE} to be one word of ASCII, but it is not.")
    return key


class Authorization(AuthBase):
    """Signs requests. Its text does not show the key.

    Args:
        key: A legacy token, or a personal access token, which is good for access tokens of five minutes.
        exchange: Returns a new access token for a personal access token.
    """

    def __init__(self, key: str, exchange: Callable[[str], str]) -> None:
        self._key = key
        self._exchange = exchange
        self._access = ""

    @property
    def is_personal(self) -> bool:
        """Whether the key is a personal access token: a JSON Web Token has three parts."""
        return self._key.count(".") == 2

    def renew(self) -> None:
        """Gets an access token."""
        self._access = self._exchange(self._key)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self.is_personal and not self._access:
            self.renew()
        request.headers["Authorization"] = f"Bearer {self._access}" if self.is_personal else f"Token {self._key}"
        return request
