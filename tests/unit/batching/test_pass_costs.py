import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.batching.pass_costs import PassCosts

GPU = {1: 0.010, 2: 0.010, 4: 0.010, 8: 0.011}  # a pass costs the same, whatever is in it
CPU = {1: 0.010, 2: 0.019, 4: 0.037, 8: 0.072}  # a pass costs what is in it
LAPTOP = {1: 0.075, 2: 0.125, 4: 0.229, 8: 0.389, 16: 0.770, 32: 1.531}  # ViT-B-32 on two cores without AMX


@pytest.mark.parametrize("seconds", [{}, {0: 1.0}, {1: 0.0}, {1: -1.0}])
def test_costs_without_a_usable_bucket_are_refused(seconds):
    with pytest.raises(ValueError, match="bucket"):
        PassCosts(seconds)


def test_a_gpu_pads_five_items_to_one_pass():
    assert PassCosts(GPU).batch_size(waiting=5, budget_s=1.0) == 5


def test_a_cpu_splits_five_items_and_computes_nothing_for_padding():
    assert PassCosts(CPU).batch_size(waiting=5, budget_s=1.0) == 4


def test_a_batch_is_never_larger_than_the_largest_bucket():
    assert PassCosts(GPU).batch_size(waiting=100, budget_s=1.0) == 8


def test_a_short_budget_takes_a_smaller_batch():
    assert PassCosts(CPU).batch_size(waiting=8, budget_s=0.040) == 4


def test_no_budget_takes_nothing():
    assert PassCosts(CPU).batch_size(waiting=8, budget_s=0.005) == 0


def test_total_counts_full_passes_and_the_rest():
    assert PassCosts(CPU).total_s(19) == pytest.approx(2 * 0.072 + 0.037)
    assert PassCosts(CPU).total_s(0) == 0


def test_observing_slower_passes_moves_the_estimate_towards_them():
    costs = PassCosts(CPU)
    for _ in range(50):
        costs.observe(3, 0.1)
    assert costs.pass_s(3) == pytest.approx(0.1, rel=0.01)


SLOWDOWNS = st.floats(0.3, 4)  # of the whole machine, against what it was at the start


@given(st.lists(st.tuples(SLOWDOWNS, st.integers(1, 100)), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_machine_that_is_busy_with_other_things_is_no_reason_for_a_worse_batch_size(phases):
    """As was seen: passes of 4, at 57 ms a view, for minutes, while 8 and more would have taken 48."""
    costs = PassCosts(LAPTOP)
    for slowdown, passes in phases:
        for _ in range(passes):
            size = costs.batch_size(waiting=100, budget_s=1000)
            costs.observe(size, LAPTOP[size] * slowdown)
        assert LAPTOP[size] / size < 1.05 * min(seconds / bucket for bucket, seconds in LAPTOP.items())


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.3])
def test_noise_moves_no_estimate_however_long_it_lasts(spread):
    costs, source = PassCosts(LAPTOP), np.random.default_rng(1)
    for noise in source.lognormal(-spread * spread / 2, spread, 30_000):
        costs.observe(8, LAPTOP[8] * noise)
    for bucket, seconds in LAPTOP.items():
        assert costs.pass_s(bucket) == pytest.approx(seconds, rel=0.3)


def test_one_pass_that_hung_says_little_of_the_next():
    costs = PassCosts(GPU)
    costs.observe(8, 60.0)
    assert costs.pass_s(8) < 5 * GPU[8]
    costs.observe(8, 0.0)
    assert costs.pass_s(1) > 0


@given(SLOWDOWNS)
def test_all_batch_sizes_learn_from_a_machine_that_has_slowed_down(slowdown):
    costs = PassCosts(LAPTOP)
    for _ in range(60):
        costs.observe(8, LAPTOP[8] * slowdown)
    for bucket, seconds in LAPTOP.items():
        assert costs.pass_s(bucket) == pytest.approx(seconds * slowdown, rel=0.15)


def test_a_batch_size_that_is_slower_than_it_was_at_the_start_is_told_from_the_others():
    costs = PassCosts(CPU)
    for _ in range(300):
        costs.observe(4, CPU[4])
        costs.observe(8, CPU[8] * 1.5)
    assert costs.pass_s(8) / costs.pass_s(4) == pytest.approx(1.5 * CPU[8] / CPU[4], rel=0.1)
    assert costs.batch_size(waiting=100, budget_s=1000) == 4


@pytest.mark.parametrize("items", [3, 5, 6, 7])
def test_a_pass_that_does_not_fill_its_bucket_is_no_sign_of_a_faster_machine(items):
    costs = PassCosts(LAPTOP)
    for _ in range(50):
        costs.observe(items, float(np.interp(items, list(LAPTOP), list(LAPTOP.values()))))  # a device that does not pad
    assert costs.pass_s(32) == pytest.approx(LAPTOP[32], rel=0.1)


def test_nor_is_a_padded_one_of_a_slower_machine():
    costs = PassCosts(GPU)
    for _ in range(50):
        costs.observe(5, GPU[8])
    assert costs.pass_s(1) == GPU[1]


@given(
    st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(1e-4, 10), min_size=1),
    st.integers(1, 100),
    st.floats(0, 20),
)
def test_every_batch_fits_the_waiting_the_buckets_and_the_budget(seconds, waiting, budget_s):
    costs = PassCosts(seconds)
    size = costs.batch_size(waiting, budget_s)
    assert 0 <= size <= min(waiting, costs.largest_bucket)
    if size:
        assert min(seconds[bucket] for bucket in seconds if bucket >= size) <= budget_s


@given(st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(1e-4, 10), min_size=1), st.integers(1, 100))
def test_what_fits_in_time_can_always_start(seconds, waiting):
    """The batcher relies on it: a job whose total fits its budget is given a pass, so that it cannot spin."""
    costs = PassCosts(seconds)
    assert costs.batch_size(waiting, costs.total_s(waiting)) >= 1


def test_a_limit_leaves_the_buckets_up_to_it_and_the_smallest_always():
    costs = PassCosts({1: 0.1, 2: 0.1, 4: 0.1, 8: 0.1})
    costs.limit_to(5)
    assert costs.largest_bucket == 4
    costs.limit_to(0)
    assert costs.largest_bucket == 1


def test_uploading_is_learnt():
    costs = PassCosts({1: 0.1})
    assert costs.upload_s == 0
    for _ in range(50):
        costs.observe_upload(0.01)
    assert costs.upload_s == pytest.approx(0.01, rel=0.01)
