"""ShiftedViews has the views and the draws of single calls of RandomShift.each."""

import torch
from hypothesis import given, settings, strategies as st

from al_lightning.data.augmentations import RandomShift
from al_lightning.data.shifted_views import ShiftedViews
from tests.helpers import generator


@settings(max_examples=60, deadline=None)
@given(
    num_labeled=st.integers(1, 9),
    num_unlabeled=st.integers(0, 9),
    num_views=st.integers(1, 3),
    shape=st.sampled_from([(4, 7), (1, 5, 4), (3, 6, 6), (2, 2, 5, 4)]),
    max_shift=st.integers(0, 3),
    mirror=st.sampled_from([0.0, 0.5, 1.0]),
    num_minibatches=st.integers(1, 3),
)
def test_views_and_draws_are_those_of_single_calls(
    num_labeled: int,
    num_unlabeled: int,
    num_views: int,
    shape: tuple[int, ...],
    max_shift: int,
    mirror: float,
    num_minibatches: int,
) -> None:
    shift, draws = RandomShift(max_shift, mirror), generator(1)
    streams = generator(2), generator(2)
    views = ShiftedViews(shift, num_labeled, num_unlabeled, shape, num_views)
    for shifts in views.draw(streams[0], num_minibatches):
        inputs = torch.randn(num_labeled, *shape, generator=draws)
        unlabeled = torch.randn(num_unlabeled, *shape, generator=draws)
        of_pool = [shift.each(unlabeled, streams[1]) for _ in range(num_views)] if num_unlabeled else []
        expected = torch.cat([shift.each(inputs, streams[1]), *of_pool])
        assert views.make(inputs, unlabeled, shifts).equal(expected.flatten(1))
    assert streams[0].get_state().equal(streams[1].get_state())


def test_images_that_are_not_contiguous_are_read_in_order() -> None:
    images = torch.randn(3, 6, 5, generator=generator()).transpose(1, 2)
    views = ShiftedViews(RandomShift(1), 3, 3, (5, 6), 1)
    (shifts,) = views.draw(generator(4))
    stream = generator(4)
    of_pool = RandomShift(1).each(images, stream)
    expected = torch.cat([RandomShift(1).each(images, stream), of_pool])
    assert views.make(images, images, shifts).view(6, 5, 6).equal(expected)
