"""What the probe promises of a tick, of its breaker and of its state, each beside the tests that show it.

A test is named by file and function; ``tests/unit/test_reliability.py`` looks that each is there.
"""

# ruff: noqa: E501 - a promise stands on one line, and so does the name of a test

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """A promise, in one sentence, and the tests that fail when it is broken."""

    says: str
    tests: tuple[str, ...]


def claim(says: str, *tests: str) -> Claim:
    return Claim(says, tests)


CLAIMS: dict[str, tuple[Claim, ...]] = {
    "A tick": (
        claim(
            "A tick looks at both locations side by side before it writes, and replaces only what it saw.",
            "unit/test_tick_targets.py::test_both_locations_are_looked_at_side_by_side_before_anything_is_written",
            "faults/test_outage_tapes.py::test_the_other_writers_blob_is_left_as_it_is_and_the_way_out_is_said",
        ),
        claim(
            "The state is saved before the tick is told, and the report is told once.",
            "unit/test_tick_targets.py::test_telemetry_gets_the_report_once_with_its_parent_after_the_state_was_saved",
            "faults/test_tapes.py::test_every_tick_is_told_once_and_leaves_no_connection",
        ),
        claim(
            "Every tick measures both locations, whatever the breaker thinks.",
            "faults/test_tapes.py::test_every_tick_measures_both_locations_whatever_the_breaker_thinks",
        ),
        claim(
            "The first attempt at a location opens a fresh connection, later ones may reuse it, none outlives the tick.",
            "faults/test_attempt_connection_faults.py::test_the_first_attempt_is_fresh_and_the_next_ones_reuse_its_connection",
            "faults/test_attempt_connection_faults.py::test_closing_leaves_no_socket_open",
        ),
        claim(
            "An attempt is one request under one deadline; nothing is sent twice.",
            "faults/test_attempt_connection_faults.py::test_a_failed_attempt_sends_one_request_and_no_more",
            "faults/test_attempt_requests.py::test_whatever_a_server_sends_two_attempts_answer_readings_within_their_deadlines",
        ),
        claim(
            "Targets run side by side, within a bound; one target's trouble never delays or fails another's.",
            "unit/test_tick_targets.py::test_a_target_that_hangs_delays_no_other",
            "unit/test_tick_targets.py::test_a_bug_in_one_target_is_raised_after_the_others_were_saved_and_told",
            "unit/test_tick_targets.py::test_more_targets_than_run_side_by_side_all_get_their_turn",
        ),
        claim(
            "A tick keeps to its budget; what did not fit is named.",
            "faults/test_tapes.py::test_no_tick_takes_longer_than_its_budget",
            "faults/test_tapes.py::test_what_the_budget_cuts_off_is_named",
            "unit/test_tick_targets.py::test_targets_that_never_got_their_turn_are_told_as_cut_off",
        ),
        claim(
            "Whatever is silent, a tick ends within its budget, saved; ticks of a shard never overlap in a process.",
            "unit/test_tick_budget.py::test_a_tick_ends_within_its_budget_whatever_is_silent",
            "unit/test_tick_budget.py::test_ticks_never_overlap_though_the_timer_fires_late_and_then_on_time",
        ),
        claim(
            "A process that is told to end, or ends, waits for its telemetry once.",
            "telemetry/test_backends.py::test_a_tick_and_the_end_of_its_process_wait_for_a_silent_backend_once",
            "faults/test_silence.py::test_a_tick_and_the_end_of_its_process_keep_to_the_budget",
        ),
        claim(
            "No answer takes the probe's memory more than 16 MiB above idle, but for the state's own document.",
            "faults/test_hostile.py::test_no_answer_takes_the_probe_far_above_its_idle_memory",
            "long/test_servers.py::test_no_answer_to_any_request_takes_the_probe_far_above_its_idle_memory",
        ),
        claim(
            "What is told agrees, request by request, with what the servers saw.",
            "worker/test_soak.py::test_what_a_worker_tells_under_churn_agrees_with_the_servers_log",
            "faults/test_soak.py::test_random_faults_cost_no_count_and_no_read_while_a_side_is_up",
        ),
        claim(
            "Of several instances at one instant one is the tick; a clock that is set back runs no minute twice.",
            "unit/test_tick_store.py::test_of_three_instances_at_one_instant_one_is_the_tick_and_the_others_tell_nothing",
            "unit/test_tick_store.py::test_a_clock_that_is_set_back_runs_no_minute_twice_and_stops_nothing",
        ),
        claim(
            "No secret is told, whatever setting it stands in, in whatever encoding, and whoever sends it back.",
            "faults/test_secrets.py::test_no_tick_tells_what_servers_send_back",
            "faults/test_secrets.py::test_no_setting_s_value_is_told_by_a_check_or_by_the_app_s_start",
            "faults/test_secrets.py::test_no_settings_file_is_told_in_whatever_encoding_it_is",
        ),
        claim(
            "A duplicate or stale tick is skipped and counted.",
            "unit/test_tick_store.py::test_a_duplicate_or_stale_tick_is_skipped_and_counted",
            "unit/test_app.py::test_a_message_delivered_twice_runs_its_shard_once",
        ),
        claim(
            "A dead telemetry backend costs a tick no more than the flush bound, and never fails it.",
            "telemetry/test_backends.py::test_a_failing_backend_costs_a_tick_no_more_than_the_flush_bound",
        ),
    ),
    "The breaker": (
        claim(
            "It is a value, moved by a table; what the table does not have changes nothing.",
            "unit/test_breaker_exhaustive.py::test_every_move_is_in_the_table_and_none_closes_without_the_trials",
            "unit/test_breaker.py::test_a_pair_outside_the_table_is_illegal",
        ),
        claim(
            "Closed, it trips on 5 failures in a row, or on half of the last 20 attempts once there are 10; a slow one counts for the rate.",
            "unit/test_breaker.py::test_a_tape_moves_the_breaker_as_its_row_says",
            "unit/test_breaker.py::test_every_path_fault_trips",
        ),
        claim(
            "An outage is routed around within its first tick.",
            "unit/test_core_failure_modes.py::test_an_outage_is_routed_around_within_its_first_tick",
        ),
        claim(
            "Open, it comes to a trial within its dwell, whatever the secondary and the clock do.",
            "unit/test_breaker_exhaustive.py::test_an_open_breaker_comes_to_a_trial_within_its_dwell_whatever_the_clock_does",
            "unit/test_breaker_exhaustive.py::test_time_alone_brings_a_trial_at_the_time_that_is_told",
            "property/test_breaker_properties.py::test_no_state_is_a_trap",
        ),
        claim(
            "Half-open, a trial is one attempt; only good trials in a row close it, and a bad one doubles the dwell, up to 8 times.",
            "unit/test_tick_targets.py::test_half_open_reads_are_trials_of_one_attempt",
            "unit/test_breaker.py::test_only_trials_close_or_reopen_a_half_open_breaker",
            "unit/test_breaker.py::test_each_bad_trial_doubles_the_dwell_up_to_eight_times",
        ),
        claim(
            "A healed primary is come home to, and stayed with.",
            "unit/test_breaker_exhaustive.py::test_a_well_primary_is_come_home_to_from_every_value_and_then_stayed_with",
        ),
        claim(
            "No read is lost while one location is up at each instant of the read.",
            "faults/test_reads.py::test_no_read_is_lost_while_one_location_is_up_at_each_instant",
            "faults/test_tapes.py::test_no_read_is_lost_while_either_location_can_serve",
        ),
        claim(
            "The first read of an outage waits for one slow failure at most; a slow answer within the deadline is an answer.",
            "faults/test_reads.py::test_the_first_read_of_an_outage_waits_for_one_slow_failure_at_most",
            "faults/test_reads.py::test_a_slow_primary_that_answers_within_the_deadline_serves",
        ),
        claim(
            "Only faults of the path count: a denied, missing or corrupt answer is told, served from the other location, and moves nothing.",
            "unit/test_breaker.py::test_no_other_error_is_counted",
            "unit/test_breaker.py::test_a_neutral_answer_moves_no_state",
        ),
        claim(
            "A forced mode routes until it expires, by itself; the breaker goes on counting what it would have done.",
            "unit/test_breaker_exhaustive.py::test_a_forced_mode_routes_until_it_expires_and_leaves_the_value_to_itself",
            "unit/test_breaker.py::test_a_breaker_forced_to_the_primary_reports_the_whole_cycle_it_would_have_made",
        ),
        claim(
            "Every fault, at each location, in each state of the breaker, has its verdict and its way back.",
            "faults/test_matrix.py::test_a_cell_comes_out_as_it_must",
            "long/test_matrix.py::test_every_fault_at_each_location_in_each_state_comes_out_as_it_must",
            "long/test_matrix.py::test_outages_that_come_and_go_lose_no_read_that_a_location_could_serve",
        ),
        claim(
            "A late fact moves nothing, and a clock that jumps neither sticks nor flaps it.",
            "unit/test_breaker_exhaustive.py::test_a_late_fact_moves_nothing",
            "unit/test_breaker_exhaustive.py::test_a_clock_that_jumps_moves_it_once_at_most",
            "long/test_breaker_mutants.py::test_a_breaker_that_breaks_an_invariant_is_caught",
        ),
        claim(
            "Every transition is told once, with from, to, reason, time and the figures that caused it.",
            "unit/test_breaker.py::test_a_transition_tells_from_to_reason_time_and_the_figures_that_caused_it",
            "faults/test_tapes.py::test_every_move_of_the_breaker_is_reported_once",
        ),
    ),
    "The state": (
        claim(
            "Whatever must outlast a tick is in one document per shard: no process needs to see two ticks.",
            "worker/test_churn.py::test_an_outage_is_routed_around_and_left_though_no_process_sees_two_ticks",
        ),
        claim(
            "It is saved on the version that was loaded; on a conflict the tick's facts are folded onto the newer one.",
            "integration/test_state_contract.py::test_a_save_over_a_version_that_was_not_loaded_is_a_conflict_and_changes_nothing",
            "unit/test_tick_store.py::test_two_ticks_at_once_lose_no_count_and_report_each_move_once",
            "property/test_record_properties.py::test_two_ticks_at_once_lose_no_count_and_no_transition",
        ),
        claim(
            "Several processes on one state lose no tick, count or move, and say no false word.",
            "faults/test_writers.py::test_each_tick_count_and_move_is_in_the_document_and_no_word_is_false",
            "unit/test_tick_store.py::test_two_ticks_at_once_that_meet_a_loss_tell_it_once_and_call_nobody_corrupt",
            "long/test_writers.py::test_neither_a_kill_nor_a_clock_that_differs_costs_a_tick_or_a_false_word",
        ),
        claim(
            "What is written can be loaded again, at every size that the settings allow.",
            "unit/test_state_document.py::test_the_fullest_shard_is_loaded_again_with_the_newer_part_of_what_it_tells",
        ),
        claim(
            "Of several that stand for one time one is the tick, whatever the clock did; a save that was sent twice counts once.",
            "unit/test_tick_store.py::test_of_three_instances_at_one_instant_one_is_the_tick_and_the_others_tell_nothing",
            "unit/test_tick_store.py::test_a_clock_that_is_set_back_runs_no_minute_twice_and_stops_nothing",
            "unit/test_tick_store.py::test_a_save_that_something_in_between_sends_twice_is_one_tick",
        ),
        claim(
            "A process that is killed leaves the old document or the new one, never half of one.",
            "unit/test_state_file.py::test_a_process_killed_at_any_point_leaves_the_old_document_or_the_new_one",
            "integration/test_probe_once.py::test_killed_in_the_middle_of_a_tick_the_next_goes_on_from_the_last_saved_state",
        ),
        claim(
            "A document that cannot be read is kept aside under another name, told, and replaced.",
            "integration/test_state_contract.py::test_a_document_that_cannot_be_read_is_kept_aside_once_told_and_replaced",
            "unit/test_tick_store.py::test_an_unreadable_document_is_told_and_replaced",
        ),
        claim(
            "What is loaded is checked against what a probe can have written.",
            "unit/test_state_document.py::test_a_document_that_cannot_be_used_is_refused_with_the_reason",
            "unit/test_state_document.py::test_a_sequence_that_no_probe_can_have_come_to_is_refused",
            "unit/test_state_document.py::test_a_value_that_no_probe_writes_is_refused_wherever_it_stands",
            "faults/test_saved_state.py::test_whatever_one_value_of_a_saved_state_becomes_it_is_refused_or_gone_on_from",
        ),
        claim(
            "A time from the future is clamped and counted.",
            "unit/test_record.py::test_every_time_from_the_future_is_set_to_now_and_counted",
            "property/test_record_properties.py::test_after_clamping_no_time_is_in_the_future_and_each_was_counted",
        ),
        claim(
            "While the store is down a tick measures and tells, marked so, and the process goes on from what it knows.",
            "unit/test_tick_store.py::test_a_tick_measures_and_tells_though_the_store_fails",
            "unit/test_tick_store.py::test_without_a_store_the_process_goes_on_from_what_it_knows",
        ),
        claim(
            "What grows is bounded: history, transitions, unseen writes.",
            "unit/test_record.py::test_history_is_bounded_and_in_the_order_of_time",
            "property/test_replication_properties.py::test_the_ledger_is_bounded_and_never_forgets_the_oldest_unseen_whoever_writes",
        ),
        claim(
            "No stamp, ours or a stranger's, keeps an account unavailable, the canary unwritten, or a rollback standing, for ever.",
            "faults/test_stamps.py::test_no_stamp_keeps_an_account_from_being_called_well_and_written",
            "faults/test_stamps.py::test_an_older_canary_is_corrupt_for_a_quarter_of_an_hour_and_then_what_there_is",
            "faults/test_other_account.py::test_a_primary_that_takes_what_it_does_not_show_tells_a_loss_once_and_is_corrupt_then",
        ),
    ),
}
"""By the part of the design that promises it."""


def markdown() -> str:
    """Return the claims as tables."""
    parts = []
    for part, claims in CLAIMS.items():
        rows = [f"| {each.says} | {'<br>'.join(map(_link, each.tests))} |" for each in claims]
        parts.append("\n".join([f"### {part}", "", "| promise | shown by |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name}]({file})"
