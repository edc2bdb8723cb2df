"""SentenceEncoder: a language model that turns a text into features, with dropout before a new last layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from al_lightning.data.text_bytes import texts_of
from al_lightning.errors import InputError
from al_lightning.models.base import ClassifierModule
from al_lightning.models.dropout_head import DropoutHead, check_dropout
from al_lightning.paths import expanded

MODULES = "modules.json"
"""File by which a folder is a model of sentence-transformers."""
EXTRA = "pip install 'al-lightning[text]'"
LONGEST = 512
"""Tokens of a text, for tokenizers that name no limit."""


class SentenceEncoder(DropoutHead, ClassifierModule):
    """A pretrained language model, with dropout and a linear layer on its features.

    Inputs are texts as bytes, as :class:`~al_lightning.data.Texts` gives them. A model of sentence-transformers makes
    its features by its own rule. For any other model of transformers, they are the mean over the tokens of a text.

    Args:
        name: A folder with a model, or the name of a model, which is downloaded unless it is in the cache.
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data.
        dropout: Probability that dropout zeroes a feature, in [0, 1).
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 2e-5 if not given.

    Raises:
        InputError: If an argument is out of range, a package is not installed, or there is no such model.
    """

    pretrained = True

    def __init__(
        self,
        name: str,
        num_classes: int | None = None,
        dropout: float = 0.5,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=2e-5, fused=True),
    ) -> None:
        super().__init__(num_classes, optimizer)
        check_dropout(dropout)
        self.save_hyperparameters(ignore=["optimizer"])
        self.name = name
        self.body = make_encoder(name).train()  # both libraries load models in evaluation mode
        self.dropout = nn.Dropout(dropout)
        self._begin_sizes(num_classes=num_classes)

    def _make_layers(self, num_classes: int) -> dict[str, nn.Module]:  # type: ignore[override]
        return {"head": nn.Linear(self.body.num_features, num_classes)}

    def embed(self, x: Tensor) -> Tensor:
        """Maps texts as bytes, uint8 of shape ``(B, L)``, to features ``(B, D)``."""
        return self.body(texts_of(x))

    def forward(self, x: Tensor) -> Tensor:
        """Maps texts to logits ``(B, C)``."""
        return self.head(self.dropout(self.embed(x)))


class MeanOfTokens(nn.Module):
    """A model of transformers. The features of a text are the mean of the last hidden states of its tokens.

    Args:
        tokenizer: Its tokenizer.
        network: The model.
    """

    def __init__(self, tokenizer: Any, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._tokenizer = tokenizer
        self._longest = min(tokenizer.model_max_length, LONGEST)
        self.num_features: int = network.config.hidden_size  # type: ignore[assignment, union-attr]

    def forward(self, texts: list[str]) -> Tensor:
        """Returns features, shape ``(B, D)``."""
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
        if tokens["input_ids"].shape[1] == 0:  # empty texts, of a tokenizer that adds no tokens of its own
            return next(self.network.parameters()).new_zeros(len(texts), self.num_features)
        tokens = tokens.to(next(self.network.parameters()).device)
        states = self.network(**tokens).last_hidden_state
        weights = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class SentenceVector(nn.Module):
    """A model of sentence-transformers, which has its own rule for the features of a text.

    Args:
        network: A ``SentenceTransformer``.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        size = getattr(network, "get_embedding_dimension", network.get_sentence_embedding_dimension)
        self.num_features: int = size()

    def forward(self, texts: list[str]) -> Tensor:
        """Returns features, shape ``(B, D)``."""
        prepare = getattr(self.network, "preprocess", self.network.tokenize)  # of version 5 and later, and before
        device = next(self.network.parameters()).device
        given: Mapping[str, Any] = prepare(texts)
        tokens = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in given.items()}
        return self.network(tokens)["sentence_embedding"]


def make_encoder(name: str) -> MeanOfTokens | SentenceVector:
    """Loads a language model.

    Args:
        name: See :class:`SentenceEncoder`.

    Raises:
        InputError: If a package is not installed, or there is no such model.
    """
    folder = Path(expanded(name))
    is_sentence_model = (folder / MODULES).is_file()
    hint = ""
    if is_sentence_model or not folder.is_dir():
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            if is_sentence_model:
                raise InputError(
                    f"Expected the package sentence-transformers for `model.name` {name}, but it is not installed: "
                    f"{EXTRA}."
                ) from error
            hint = f" The package sentence-transformers, which has models of its own, is not installed: {EXTRA}."
        else:
            try:
                return SentenceVector(SentenceTransformer(str(folder) if is_sentence_model else name, device="cpu"))
            except (OSError, ValueError, RuntimeError) as error:
                raise _not_there(name, error) from error
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise InputError(
            f"Expected the package transformers for `model.name` {name}, but it is not installed: {EXTRA}."
        ) from error
    place = str(folder) if folder.is_dir() else name
    try:
        return MeanOfTokens(AutoTokenizer.from_pretrained(place), AutoModel.from_pretrained(place))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise _not_there(name, error, hint) from error


def _not_there(name: str, error: Exception, hint: str = "") -> InputError:
    what = " ".join(str(error).split())[:200].rstrip(".")
    return InputError(
        f"Expected `model.name` to be a folder with a language model, or the name of one in the cache of "
        f"huggingface_hub or to download, but {name} fails with: {what}.{hint}"
    )
