"""A short form of the long run in simulated time; the whole one is in tests/long."""

from tests.faults import soak


def test_random_faults_cost_no_count_and_no_read_while_a_side_is_up():
    outcome = soak.simulated(150)

    assert outcome.problems == []
    assert outcome.figures["reads served by secondary"] > 50
    assert outcome.figures["reads served by none"] > 10, "both were down at times, or nothing is shown"
