"""All members that a model may have besides ``forward``: each name, its default, and its purpose.

Nothing on this page is required. Every part of the package asks a model by :func:`traits`, so each name is spelled here
and nowhere else. This file imports nothing of the package, so that every part of it may import this file.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn


class Traits:
    """The members that a model may have. An attribute of the model is enough; inheritance is not needed.

    Symbols: a minibatch or block has B samples, D features, C classes; T is a number of Monte Carlo samples.
    """

    # ---------------------------------------------------------------------------------- features and probabilities

    embed: Callable[[Any], Tensor] | None = None
    """Maps inputs ``(B, ...)`` to penultimate features ``(B, D)``. With it, ``forward(x)`` equals ``head(embed(x))``,
    except for dropout. Without it, features are the input of :attr:`feature_layer`."""

    head: Callable[[Tensor], Tensor] | None = None
    """Maps features ``(B, D)`` to logits ``(B, C)``. It goes together with :attr:`embed`."""

    feature_layer: str | None = None
    """Name of the layer that makes the logits. Its input, flattened, is the embedding. Without a name it is the linear
    layer that is called last, if its output is the logits."""

    passes_inputs_to: str | None = None
    """Name of a network inside the model. The parameters of its ``forward`` decide how inputs of several tensors are
    passed on; see :func:`~al_lightning.inference.calling.call`. By default, the model's own ``forward`` decides."""

    check_inputs: Callable[[Any], None] | None = None
    """Takes the inputs of one sample before the first fit, and raises InputError if the model cannot train on them."""

    suit_data: Callable[[int, Any], None] | None = None
    """Takes the number of classes and the inputs of one sample, before the first fit and after each constructor. The
    model gives its layers the sizes that its constructor left to the data, and writes the sizes into ``hparams``."""

    # ------------------------------------------------------------------------------------------ Monte Carlo samples

    sample_logits: Callable[[Any, int], Tensor] | None = None
    """Maps inputs ``(B, ...)`` and T to logits ``(B, T, C)`` of T models: members of an ensemble, or draws from a
    posterior such as Laplace's. BALD and ``batch.mc_log_probs`` then use these samples and no dropout. An ensemble may
    ignore T: it returns one sample for each member. A posterior draws from torch's global generator, which is in the
    same state for each block. If it draws its weights first, the whole pool shares them."""

    draw_masks: Callable[[int, torch.Generator], Tensor] | None = None
    """Draws T dropout masks ``(T, D)``, scaled as dropout scales. It goes together with :attr:`sample`;
    :class:`~al_lightning.models.DropoutHead` has both."""

    sample: Callable[[Tensor, Tensor], Tensor] | None = None
    """Maps features ``(B, D)`` and masks ``(T, D)`` to logits ``(B, T, C)``: one matrix product in place of T passes.
    Without :attr:`sample` and :attr:`sample_logits`, Monte Carlo samples are T passes with dropout."""

    samples_from_embeddings: bool = True
    """Whether :attr:`sample` covers all dropout of the model. If not, Monte Carlo samples are T passes."""

    # ---------------------------------------------------------------------------------------------------- the weights

    pretrained: bool = False
    """Whether the weights are worth keeping. ``--loop.reinit scratch`` is then refused."""

    reset_parameters: Callable[[], None] | None = None
    """Draws all weights again, from torch's global generator. By default each layer draws its own weights."""

    # ------------------------------------------------------------------------------------------ minibatches and draws

    takes_pairs: bool = False
    """Whether a minibatch is always a pair of inputs and class indices. By default it has the form of the data set's
    items."""

    solves_at_once: bool = False
    """Whether one ``training_step`` finds the optimum. Its minibatch has all labeled samples, in the order of the
    training set, on each device."""

    needs_unlabeled: bool = False
    """Whether each minibatch also has the same number of inputs of the pool."""

    minibatches_per_step: int | None = None
    """Number of minibatches that one ``training_step`` gets, as a list. None for one minibatch, not in a list."""

    min_updates_per_epoch: int = 1
    """Least number of minibatches in an epoch. An epoch has several passes over a small labeled set."""

    stream_purposes: tuple[str, ...] = ()
    """Random streams that the loop makes for each fit, by purpose; see :mod:`al_lightning.random_streams`."""

    streams: Mapping[str, torch.Generator] = {}
    """Mapping that the loop fills with the streams of :attr:`stream_purposes`."""

    # -------------------------------------------------------------------------------------------- end of a fit, test

    ends_by_train_acc: bool = False
    """Whether Convergence ends a fit at a training accuracy of 0.99. By default it watches the training loss."""

    solved: bool | None = None
    """Whether the fit has found its optimum, for a model that solves. None if a stopping rule decides."""

    warming_up: bool = False
    """Whether a fit must not end yet, because its loss still changes by schedule."""

    test_metrics: nn.Module | None = None
    """A :class:`~al_lightning.models.metrics.ClassificationMetrics` that ``test_step`` updates. The loop takes the
    calibration curve from it. By default the loop computes the test metrics from the logits."""


class _Answers:
    """Gives the model's members, and the default of each missing member."""

    __slots__ = ("_model",)

    def __init__(self, model: object) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name, getattr(Traits, name))


def traits(model: object) -> Traits:
    """Returns the members of :class:`Traits` that a model has, and the defaults of the others.

    Raises:
        AttributeError: When asked for a name that is not on this page.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> traits(layer).takes_pairs, traits(layer).reset_parameters == layer.reset_parameters
        (False, True)
    """
    return cast(Traits, _Answers(model))
