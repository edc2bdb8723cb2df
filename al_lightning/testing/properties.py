"""The contract: the properties of every query strategy, checked from small cases to large ones."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from al_lightning.inference import Known, PoolPredictor
from al_lightning.testing.small_models import LABELED, NUM_LABELED, NUM_POOL, OTHER_POOL, POOL, digits, images
from al_lightning.testing.small_pools import DEGENERATE, RelabeledDigits
from al_lightning.testing.states import attributes, differences, state_of
from al_lightning.testing.watched_strategy import SIZES, Observed, Subject, Violation, show

TOLERANCE = 1e-6  # of scores, for the rounding of a matrix product that depends on its number of rows
BLOCK_SIZES = {2: (1,), 20: (1, 7, 19), 300: (1, 7, 299, 300, 1000)}
DEGENERATE_SIZES = {2: (1, 2), 40: (1, 5, 39, 40)}


class DoesNotApply(Exception):
    """Says why a property cannot be asked of a strategy."""


class Remark(Violation):
    """A case in which a strategy does not keep what most strategies keep, which is no fault."""


@dataclass(frozen=True)
class Property:
    """A property that a query strategy keeps."""

    code: str
    says: str
    """The property in plain words."""
    check: Callable[[Subject], None]
    """Raises :class:`~al_lightning.testing.watched_strategy.Violation` for the first case that breaks the property. It
    raises the subclass :class:`Remark` if the case is no fault, and :class:`DoesNotApply` if there is nothing to
    check."""


# ------------------------------------------------------------------------------------------------ U1, U2: the output


def _check_query(observed: Observed, pool_size: int, query_size: int) -> None:
    """Raises unless the answer is the requested number of distinct positions in the pool."""
    query = observed.answer.positions
    if not isinstance(query, Tensor):
        raise observed.violation(f"returned {type(query).__name__}, not a tensor")
    if query.shape != (query_size,):
        raise observed.violation(f"returned a tensor of shape {tuple(query.shape)}, not ({query_size},)")
    if query.dtype != torch.int64:
        raise observed.violation(f"returned {query.dtype}, not torch.int64")
    if query.device.type != "cpu":
        raise observed.violation(f"returned a tensor on {query.device}, not on the CPU")
    if query_size and (query.min() < 0 or query.max() >= pool_size):
        raise observed.violation(f"returned positions {show(query.tolist())}, not all from 0 to {pool_size - 1}")
    if len(query.unique()) < query_size:
        raise observed.violation(f"returned positions {show(query.tolist())}, some of them twice")


def _u1_query(subject: Subject) -> None:
    for pool_size, query_size in ((2, 1), (3, 2), (20, 7), (300, 1), (300, 7), (300, 100)):
        observed = subject.ask(subject.pool(pool_size), query_size)
        _check_query(observed, pool_size, query_size)


def _u2_nothing_everything_and_more(subject: Subject) -> None:
    for pool_size in (0, 1, 2, 20, 50):  # fewer than features and more
        _check_query(subject.ask(subject.pool(pool_size), 0), pool_size, 0)
        _check_query(subject.ask(subject.pool(pool_size), pool_size), pool_size, pool_size)
        for query_size in (pool_size + 1, -1):
            _check_refusal(subject, subject.pool(pool_size), query_size)


def _check_refusal(subject: Subject, pool: PoolPredictor, query_size: int, where: str = "") -> None:
    """Raises unless the strategy raises a ValueError. An InputError is one."""
    try:
        observed = subject.ask(pool, query_size, where)
    except Violation as violation:
        if isinstance(violation.error, ValueError):
            return
        raise
    raise observed.violation(f"returned positions {show(observed.positions)} instead of raising a ValueError")


# ------------------------------------------------------------------------- U3, U4: what the output may depend on


def _u3_order_of_the_pool(subject: Subject) -> None:
    if subject.is_stochastic:
        raise DoesNotApply("the strategy draws at random, so its queries are equal in distribution only")
    for pool_size, query_size in SIZES:
        first = subject.ask(subject.pool(pool_size), query_size)
        expected = first.positions
        for name, order in _orders(pool_size).items():
            observed = subject.ask(subject.pool(inputs=images(POOL, pool_size)[order]), query_size, name)
            before = dict(enumerate(order.tolist()))
            found = [before.get(position, position) for position in observed.positions]
            if found != expected and not _differ_by_ties(first, observed, order):
                raise observed.violation(f"queried samples {show(found)}, and {show(expected)} in the first order")


def _differ_by_ties(first: Observed, other: Observed, order: Tensor) -> bool:
    """Whether all samples have the same scores in both orders, and the queries differ only where scores tie."""
    scores, others = first.answer.scores, other.answer.scores
    if scores is None or others is None:
        return False
    return scores[order].allclose(others) and scores[first.positions].allclose(others[other.positions])


def _orders(size: int) -> dict[str, Tensor]:
    """Other orders of so many things, by name."""
    shuffled = torch.randperm(size, generator=torch.Generator().manual_seed(1))
    return {"in reverse order": torch.arange(size).flip(0), "in another order": shuffled}


def _u4_randomness(subject: Subject) -> None:
    # the messages have no positions: random positions would differ from run to run
    for pool_size, query_size in SIZES:
        first = subject.ask(subject.pool(pool_size), query_size).positions
        again = subject.ask(subject.pool(pool_size), query_size)
        if again.positions != first:
            raise again.violation("two queries with the same generator differ")
    for pool_size, query_size in SIZES:
        first = subject.ask(subject.pool(pool_size), query_size).positions
        for global_seed in (1, 2, 3):
            observed = subject.ask(subject.pool(pool_size), query_size, global_seed=global_seed)
            if observed.positions != first:
                raise observed.violation("the query changes with the seed of a global random generator")


# ---------------------------------------------------------------------------------- U5: what it leaves as it was


def _u5_leaves_all_as_it_was(subject: Subject) -> None:
    for pool_size, query_size in SIZES:
        model, inputs, labeled = subject.kind.with_all_that_may_change(), images(POOL, pool_size), images(LABELED)
        before = state_of(model)
        observed = subject.ask(subject.pool(inputs=inputs, model=model, labeled=labeled), query_size)
        changed = differences(before, state_of(model))
        changed += [f"the state of the global generator of {name}" for name in observed.moved]
        changed += ["the inputs of the pool"] * (not inputs.equal(images(POOL, pool_size)))
        changed += ["the labeled inputs"] * (not labeled.equal(images(LABELED)))
        if changed:
            more = f" and {len(changed) - 1} more" * (len(changed) > 1)
            raise observed.violation(f"changed {changed[0]}{more}")


# ------------------------------------------------------------------------------- U6: degenerate and broken pools


def _u6a_degenerate_pools(subject: Subject) -> None:
    for pool_size, query_sizes in DEGENERATE_SIZES.items():
        for where, pool in DEGENERATE.items():
            for query_size in query_sizes:
                observed = subject.ask(pool(subject.kind, pool_size), query_size, where)
                _check_query(observed, pool_size, query_size)


def _u6b_not_finite(subject: Subject) -> None:
    if not subject.reads_the_pool:
        raise DoesNotApply("the strategy does not look at the pool")
    for pool_size, query_size, row in ((2, 1, 0), (2, 1, 1), (300, 30, 77)):
        for name, value in (("NaN", torch.nan), ("infinity", torch.inf)):
            inputs = images(POOL, pool_size)
            inputs[row].view(-1)[3] = value
            _check_refusal(subject, subject.pool(inputs=inputs), query_size, f"{name} in one input")
    if not subject.asks_the_model:
        return
    for pool_size, query_size in SIZES:
        diverged = subject.kind.changed(lambda network: network.hidden.bias.fill_(torch.nan))
        _check_refusal(subject, subject.pool(pool_size, model=diverged), query_size, "NaN in the model's weights")


# -------------------------------------------------------------------- U7 to U11: blocks, labels, classes, prefixes


def _u7_blocks(subject: Subject) -> None:
    for pool_size, query_size in SIZES:
        whole = subject.ask(subject.pool(pool_size, block_size=10**6), query_size)
        for block_size in BLOCK_SIZES[pool_size]:
            where = f"in blocks of {block_size}"
            blocks = subject.ask(subject.pool(pool_size, block_size=block_size), query_size, where)
            if blocks.positions != whole.positions:
                raise blocks.violation(f"returned {show(blocks.positions)}, and in one block {show(whole.positions)}")
            a, b = blocks.answer.scores, whole.answer.scores
            if (a is None) != (b is None):
                raise blocks.violation("there are scores in one block or in several, not in both")
            if isinstance(a, Tensor) and isinstance(b, Tensor):
                largest = max(1.0, float(b.abs().max()))
                if a.shape != b.shape or not torch.allclose(a, b, atol=TOLERANCE * largest, rtol=0):
                    raise blocks.violation("its scores are not those in one block")


def _u8_labels(subject: Subject) -> None:
    true = digits().train_targets[: NUM_LABELED + NUM_POOL]
    for pool_size, query_size in SIZES:
        seen: list[Observed] = []
        for targets in (true[: NUM_LABELED + pool_size], torch.full((NUM_LABELED + pool_size,), -1)):
            data = RelabeledDigits(targets)
            data.set_labeled(torch.arange(NUM_LABELED))
            known = Known(labeled_targets=true[:NUM_LABELED])
            model = copy.deepcopy(subject.kind.fitted)
            pool = PoolPredictor(model, data.pool_blocks(), data.labeled_blocks(), known=known)
            seen.append(subject.ask(pool, query_size, "all labels -1" if seen else ""))
        first, second = seen
        if first.positions != second.positions:
            raise second.violation(f"returned {show(second.positions)}, and with true labels {show(first.positions)}")


def _u9_classes(subject: Subject) -> None:
    for pool_size, query_size in SIZES:
        expected = sorted(subject.ask(subject.pool(pool_size), query_size).positions)
        for name, order in _orders(10).items():

            def permute(network: Any, order: Tensor = order) -> None:
                network.head.weight.copy_(network.head.weight[order])
                network.head.bias.copy_(network.head.bias[order])

            observed = subject.ask(
                subject.pool(pool_size, model=subject.kind.changed(permute)), query_size, f"the classes {name}"
            )
            if sorted(observed.positions) != expected:
                found = show(sorted(observed.positions))
                raise observed.violation(f"returned {found}, and {show(expected)} with the classes in the first order")


def _u10_prefix(subject: Subject) -> None:
    """Only remarks: a strategy that makes as many clusters as are asked for has no such order."""
    pools: list[tuple[str, Callable[[], PoolPredictor], tuple[int, ...]]] = [
        ("", lambda: subject.pool(3), (1, 2, 3)),
        ("", lambda: subject.pool(20), (1, 2, 3, 17, 20)),
        ("two distinct inputs", lambda: DEGENERATE["two distinct inputs"](subject.kind, 40), (1, 2, 3, 17, 39, 40)),
        ("", lambda: subject.pool(300), (1, 2, 3, 17, 39, 40)),
    ]
    for where, pool, (*query_sizes, most) in pools:
        largest = subject.ask(pool(), most, where).positions
        for query_size in query_sizes:
            observed = subject.ask(pool(), query_size, where)
            if observed.positions != largest[:query_size]:
                found, first = show(observed.positions), show(largest[:query_size])
                raise Remark(observed.case, f"returned {found}, but a query of {most} begins with {first}")


def _u11_no_state(subject: Subject) -> None:
    for pool_size, query_size in SIZES:
        strategy = subject.new()
        before = attributes(strategy)
        first = subject.ask(subject.pool(inputs=images(OTHER_POOL, pool_size)), query_size, strategy=strategy)
        after = attributes(strategy)
        changed = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
        if changed:
            raise first.violation(f"changed its attribute{'s' * (len(changed) > 1)} `{', '.join(changed)}`")
        used = subject.ask(subject.pool(pool_size), query_size, "after a query of another pool", strategy=strategy)
        fresh = subject.ask(subject.pool(pool_size), query_size)
        if used.positions != fresh.positions:
            raise used.violation(f"returned {show(used.positions)}, and a new strategy {show(fresh.positions)}")


CONTRACT = (
    Property("U1", "a query is distinct positions in the pool, int64, as many as asked for", _u1_query),
    Property(
        "U2", "0 queries nothing, N the whole pool; more, or less than 0, raises", _u2_nothing_everything_and_more
    ),
    Property("U3", "the order of the pool does not matter", _u3_order_of_the_pool),
    Property("U4", "all randomness comes from the generator it is given", _u4_randomness),
    Property("U5", "model, inputs and global random generators are left as they were", _u5_leaves_all_as_it_was),
    Property("U6a", "pools with little or nothing to choose by are queried as any other", _u6a_degenerate_pools),
    Property("U6b", "an input or a prediction that is not finite raises", _u6b_not_finite),
    Property("U7", "the size of the blocks in which the pool is read does not matter", _u7_blocks),
    Property("U8", "labels are never read", _u8_labels),
    Property("U9", "which number a class has does not matter", _u9_classes),
    Property("U10", "a smaller query is the beginning of a larger one", _u10_prefix),
    Property("U11", "nothing is kept from one query to the next", _u11_no_state),
)
"""All properties, in the order in which they are reported."""
