"""Work shared among threads."""

import os
import threading

import pytest
from splatworks.renderers.cpu.threads import team


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(threads: int) -> None:
    assert team(threads).run(pow, [(k, 2) for k in range(40)]) == [k * k for k in range(40)]
    assert team(threads).run(pow, []) == []


def test_two_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2)
    found = team(2).run(lambda: (both.wait(timeout=30), threading.get_ident())[1], [(), ()])
    assert len(set(found)) == 2 and threading.get_ident() in found


def test_an_error_in_any_job_is_the_callers() -> None:
    both = threading.Barrier(2)

    def work(fails: bool) -> None:
        both.wait(timeout=30)  # One job each.
        if fails:
            raise RuntimeError("from a job")

    for jobs in ([(True,), (False,)], [(False,), (True,)]):
        with pytest.raises(RuntimeError, match="from a job"):
            team(2).run(work, jobs)
    assert team(2).run(pow, [(2, 3), (3, 2)]) == [8, 9]


def test_jobs_may_have_teams_of_their_own() -> None:
    """All helpers are busy then, and whoever asks does the work alone."""
    inner = [(k, 2) for k in range(5)]
    found = team(3).run(lambda: team(3).run(pow, inner), [()] * 7)
    assert found == [[k * k for k in range(5)]] * 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_gets_helpers_of_its_own() -> None:
    team(2).run(pow, [(1, 1), (2, 2)])
    child = os.fork()
    if child == 0:
        both = threading.Barrier(2)
        try:
            team(2).run(lambda: both.wait(timeout=20), [(), ()])
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
