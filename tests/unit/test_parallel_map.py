"""Several items at a time: each gets its share of the threads, and nothing depends on it."""

import time

import pytest
import torch
from threadpoolctl import threadpool_info

from latentgen.linalg import parallel_map


@pytest.fixture(autouse=True, params=[1, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_results_come_in_the_order_of_the_items():
    def slow_at_first(item):
        time.sleep(0.02 * (item == 0))
        return item**2

    assert parallel_map(slow_at_first, range(9), at_most=9) == [item**2 for item in range(9)]
    assert parallel_map(slow_at_first, [], at_most=9) == []


@pytest.mark.parametrize("at_most", [1, 2, 8])
def test_threads_are_shared_out_and_given_back(threads, at_most):
    before = blas_threads()
    shares = parallel_map(lambda _: (torch.get_num_threads(), *blas_threads()), range(8), at_most)
    share = max(1, threads // at_most)
    assert shares == [(share,) * (1 + len(before))] * 8
    assert blas_threads() == before


def test_as_many_as_there_are_threads_are_worked_on_at_a_time(threads):
    at_work, most = [], []

    def work(item):
        at_work.append(item)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.remove(item)

    parallel_map(work, range(8), at_most=8)
    assert max(most) == threads


def test_an_error_is_that_of_the_item():
    def fail_at_two(item):
        if item == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        parallel_map(fail_at_two, range(5), at_most=5)
