"""When weights are kept, and how checkpoints fall into shards."""

from hypothesis import given
from hypothesis import strategies as st

from latentgen.training.schedule import checkpoint_epochs, shard_ranges

PAPER = (0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 25, 30, 35, 40)


def test_the_papers_schedule():
    assert checkpoint_epochs("paper", 40) == PAPER
    assert checkpoint_epochs("paper", 500) == (*PAPER, *range(45, 501, 5))
    assert checkpoint_epochs("paper", 43) == (*PAPER, 43)
    assert checkpoint_epochs("paper", 3) == (0, 1, 2, 3)
    assert checkpoint_epochs("paper", 1) == (0, 1)


def test_a_list_is_sorted_cut_at_the_last_epoch_and_ends_with_it():
    assert checkpoint_epochs([30, 3, 3, 0], 20) == (0, 3, 20)
    assert checkpoint_epochs([20], 20) == (20,)


schedules = st.one_of(st.just("paper"), st.lists(st.integers(0, 400), min_size=1))


@given(schedules, st.integers(1, 300), st.integers(1, 200))
def test_shards_cover_every_epoch_exactly_once(schedule, max_epochs, per_shard):
    epochs = checkpoint_epochs(schedule, max_epochs)
    shards = shard_ranges(epochs, per_shard)
    # Whichever epoch training ends at, it has a shard.
    assert [epoch for shard in shards for epoch in shard] == list(range(max_epochs + 1))
    held = [[epoch for epoch in epochs if epoch in shard] for shard in shards]
    assert all(len(checkpoints) == per_shard for checkpoints in held[:-1])
    assert 1 <= len(held[-1]) <= per_shard
