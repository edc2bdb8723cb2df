"""Texts as tensors: their bytes in UTF-8."""

import torch
from torch import Tensor

from al_lightning.errors import InputError


def bytes_of(text: str) -> Tensor:
    """Returns the bytes of a text in UTF-8, uint8, shape ``(L,)``, at least one. Zeros in the text become blanks.

    Example:
        >>> bytes_of("hé").tolist(), bytes_of("").tolist()
        ([104, 195, 169], [0])
    """
    encoded = bytearray(text.replace("\0", " ").encode("utf-8", "replace")) or bytearray(1)
    return torch.frombuffer(encoded, dtype=torch.uint8)


def texts_of(block: Tensor) -> list[str]:
    """Returns the texts of a block.

    Args:
        block: Bytes in UTF-8, with zeros at the end of shorter texts, uint8, shape ``(B, L)``.

    Raises:
        InputError: If the block is something else.

    Example:
        >>> from torch.nn.utils.rnn import pad_sequence
        >>> texts_of(pad_sequence([bytes_of("one"), bytes_of("")], batch_first=True))
        ['one', '']
    """
    if not isinstance(block, Tensor) or block.dim() != 2 or block.dtype != torch.uint8:
        got = f"{block.dtype} of shape {tuple(block.shape)}" if isinstance(block, Tensor) else type(block).__name__
        raise InputError(f"Expected texts as bytes, uint8 of shape (B, L), as --data Texts gives them, but got {got}.")
    return [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in block.cpu().numpy()]
