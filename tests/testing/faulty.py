"""Query strategies with one fault each; the tests copy this file to where a user's own would be."""

import gc
import random
import warnings

import numpy as np
import torch

from al_lightning import InputError, QueryStrategy, ScoreStrategy
from al_lightning.strategies.base import check_query_size, top_k

SEEN = []


class Faultless(ScoreStrategy):
    """Has no fault, but prints and warns."""

    def score(self, batch):
        print("scoring")
        warnings.warn("slow", stacklevel=2)
        return -(batch.probs * batch.log_probs).sum(dim=1)


class First(QueryStrategy):
    """Depends on the order of the pool, and on nothing else."""

    def query(self, pool, query_size, generator):
        check_query_size(query_size, len(pool))
        return self.choose(pool, query_size, generator)

    def choose(self, pool, query_size, generator):
        return torch.arange(query_size)


class Brightest(First):
    """Looks at the inputs and not at the model."""

    def choose(self, pool, query_size, generator):
        return pool.map(lambda batch: batch.inputs.flatten(1).sum(dim=1)).argsort(descending=True)[:query_size]


# ------------------------------------------------------------------------------------------------------------ U1, U2


class OutOfRange(First):
    def choose(self, pool, query_size, generator):
        return torch.arange(query_size) + len(pool) - query_size + 1


class Duplicates(First):
    def choose(self, pool, query_size, generator):
        return torch.zeros(query_size, dtype=torch.int64)


class Floats(First):
    def choose(self, pool, query_size, generator):
        return torch.arange(float(query_size))


class TooFew(First):
    def choose(self, pool, query_size, generator):
        return torch.arange(max(query_size - 1, 0))


class List(First):
    def choose(self, pool, query_size, generator):
        return list(range(query_size))


class AsManyAsThereAre(QueryStrategy):
    def query(self, pool, query_size, generator):
        return torch.arange(min(query_size, len(pool)))


class NeverAll(First):
    def choose(self, pool, query_size, generator):
        return torch.arange(query_size) if query_size < max(len(pool), 1) else [][query_size]


# ------------------------------------------------------------------------------------------------------------ U4, U5


class GlobalTorch(First):
    def choose(self, pool, query_size, generator):
        return torch.randperm(len(pool))[:query_size]


class GlobalNumpy(First):
    def choose(self, pool, query_size, generator):
        return torch.from_numpy(np.random.permutation(len(pool)))[:query_size]


class GlobalRandom(First):
    def choose(self, pool, query_size, generator):
        return torch.tensor(random.sample(range(len(pool)), query_size), dtype=torch.int64)


class Clock(First):
    """Has randomness that nothing seeds."""

    def choose(self, pool, query_size, generator):
        generator.seed()
        return torch.randperm(len(pool), generator=generator)[:query_size]


class TrainingMode(Faultless):
    def query(self, pool, query_size, generator):
        pool.model.train()
        return super().query(pool, query_size, generator)


class MovesBatchNorm(Faultless):
    def score(self, batch):
        norm = getattr(batch.model, "norm", None)
        if norm is not None:
            norm.train()
        return super().score(batch)


class ClearsGradients(Faultless):
    def query(self, pool, query_size, generator):
        pool.model.zero_grad()
        return super().query(pool, query_size, generator)


class WritesToInputs(Faultless):
    def score(self, batch):
        batch.inputs.mul_(2)
        return super().score(batch)


# ---------------------------------------------------------------------------------------------------------------- U6


class DividesBySpread(Faultless):
    def query(self, pool, query_size, generator):
        if len(pool) > 1:
            embeddings = pool.embeddings()
            1 / float((embeddings - embeddings[0]).abs().max())
        return super().query(pool, query_size, generator)


class SwallowsNaN(Faultless):
    def score(self, batch):
        return super().score(batch).nan_to_num()


class StumblesOverNaN(QueryStrategy):
    """Raises, but nothing that names bad input."""

    def query(self, pool, query_size, generator):
        check_query_size(query_size, len(pool))
        probs = pool.probs()
        if probs.isnan().any():
            raise RuntimeError("probability tensor contains inf, nan")
        return top_k(-probs.amax(dim=1), query_size) if query_size else torch.arange(0)


# --------------------------------------------------------------------------------------------------------- U7 to U11


class NormalisesBlocks(Faultless):
    def score(self, batch):
        scores = super().score(batch)
        return scores / scores.sum()


class ReadsLabels(Faultless):
    """Finds the labels where nobody gives them to it."""

    def query(self, pool, query_size, generator):
        check_query_size(query_size, len(pool))
        for data in gc.get_objects():
            if type(data).__name__ == "RelabeledDigits" and len(data.unlabeled_indices) == len(pool):
                targets = data.train_targets[data.unlabeled_indices]
                if (targets == -1).all():
                    return torch.arange(query_size)
        return super().query(pool, query_size, generator)


class FirstClassOnly(ScoreStrategy):
    def score(self, batch):
        return batch.probs[:, 0]


class Backwards(Faultless):
    """A query is no prefix of a larger one, as with strategies that cluster."""

    def query(self, pool, query_size, generator):
        return super().query(pool, query_size, generator).flip(0)


class CrashesForThree(Faultless):
    """Fails only where U10 asks."""

    def query(self, pool, query_size, generator):
        if query_size == 3:
            raise KeyError(query_size)
        return super().query(pool, query_size, generator)


class Counts(Faultless):
    def __init__(self):
        self.count = 0

    def query(self, pool, query_size, generator):
        self.count += 1
        return super().query(pool, query_size, generator)


class Remembers(Faultless):
    """Keeps what it queried where no attribute shows it."""

    def query(self, pool, query_size, generator):
        SEEN.append(query_size)
        scores = super().query(pool, query_size, generator)
        return scores.roll(len(SEEN))


# ------------------------------------------------------------------------------------------------- the command line


class Shifted(First):
    """Out of range unless `by` is 0."""

    def __init__(self, by: int, untyped=None):
        if by < 0:
            raise InputError(f"Expected `by` of Shifted to be at least 0, but got {by}.")
        if by > 99:
            raise TypeError("too far")
        self.by = by

    def choose(self, pool, query_size, generator):
        return torch.arange(query_size) + self.by


class Abstract(QueryStrategy):
    pass


class NoStrategy:
    pass


class Votes(ScoreStrategy):
    """Has no fault: its scores tie by the dozen, and the package breaks the ties."""

    def score(self, batch):
        return (batch.probs.amax(dim=1) < 0.5).float()


# ------------------------------------------------------------------------------------------------ what they ask for


class MembersDisagree(ScoreStrategy):
    """Has no fault, and asks an ensemble."""

    def score(self, batch):
        return batch.model.sample_logits(batch.inputs, 5).softmax(dim=2).var(dim=1).sum(dim=1)


class FirstMemberOnly(MembersDisagree):
    """Asks an ensemble, and depends on which number a class has."""

    def score(self, batch):
        return batch.model.sample_logits(batch.inputs, 5)[:, 0, 0] + 0 * super().score(batch)


class NeverAllOfAnEnsemble(MembersDisagree):
    """Asks an ensemble, and fails when all is asked for."""

    def query(self, pool, query_size, generator):
        query = super().query(pool, query_size, generator)
        return query if query_size < max(len(pool), 1) else [][query_size]


class WithoutDropout(Faultless):
    """Has no fault, and asks features of a network without dropout."""

    def score(self, batch):
        if hasattr(batch.model, "draw_masks") or hasattr(batch.model, "sample_logits"):
            raise InputError("Expected a network without dropout, but got one with it.")
        return -batch.embeddings.norm(dim=1) * (1 - batch.probs.amax(dim=1))


class Sensitive(QueryStrategy):
    """Has no fault, and asks gradients."""

    def query(self, pool, query_size, generator):
        check_query_size(query_size, len(pool))
        scores = pool.map(self.score, grad=True)
        return top_k(scores, query_size), scores

    def score(self, batch):
        return torch.autograd.grad(-batch.log_probs.amax(dim=1).sum(), batch.inputs)[0].flatten(1).norm(dim=1)


class LeavesGradients(Sensitive):
    """Asks gradients outside of the pool's own way, and leaves them behind."""

    def query(self, pool, query_size, generator):
        pool.model(torch.zeros(2, 1, 8, 8)).sum().backward()
        return super().query(pool, query_size, generator)


class AsksForMore(ScoreStrategy):
    """Asks what no model has."""

    def score(self, batch):
        return batch.model.oracle(batch.inputs)
