"""Records for the stores' tests: any that the core can make, as Hypothesis strategies, and a small one."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from probe.core.breaker import Breaker, State, Totals, Transition, Trigger
from probe.core.canary import Stamp
from probe.core.record import HistoryEntry, ShardRecord, TargetRecord
from probe.core.replication import Ledger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
counts = st.integers(0, 2**40)
figures = st.floats(-1e15, 1e15)
texts = st.text(max_size=20)
stamps = st.builds(Stamp, sequence=counts, written_at=times, sha256=texts, writer=texts)
breakers = st.builds(
    Breaker,
    state=st.sampled_from(State),
    since=times,
    epoch=counts,
    recent=st.lists(st.booleans(), max_size=20).map(tuple),
    totals=st.builds(Totals, primary_attempts=counts, transitions=counts),
)
transitions = st.builds(
    Transition,
    from_state=st.sampled_from(State),
    to_state=st.sampled_from(State),
    trigger=st.sampled_from(Trigger),
    reason=texts,
    at=times,
    epoch=counts,
    figures=st.dictionaries(texts, figures, max_size=3),
)
ledgers = st.builds(
    Ledger,
    newest=st.none() | stamps,
    unseen=st.lists(stamps, max_size=3).map(tuple),
    secondary_shown=st.none() | stamps,
)
entries = st.builds(
    HistoryEntry,
    at=times,
    verdict=texts,
    primary=texts,
    secondary=st.none() | texts,
    served_primary=counts,
    served_secondary=counts,
    served_none=counts,
    worst_read=st.none() | figures,
    lag=st.none() | figures,
    last_sync_age=st.none() | figures,
)
values = st.recursive(
    st.none() | st.booleans() | counts | figures | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
targets = st.builds(
    TargetRecord,
    breaker=breakers,
    ledger=ledgers,
    secondary_seen_at=st.none() | times,
    transitions=st.lists(transitions, max_size=2).map(tuple),
    history=st.lists(entries, max_size=2).map(tuple),
    last=st.none() | st.dictionaries(texts, values, max_size=3),
)
records = st.builds(
    ShardRecord,
    last_scheduled_at=st.none() | times,
    last_completed_at=st.none() | times,
    ticks=counts,
    clamped=counts,
    targets=st.dictionaries(texts, targets, max_size=3),
)


def record(ticks: int = 0) -> ShardRecord:
    """Return a record of one target, told from others by its ticks."""
    target = TargetRecord(breaker=Breaker(since=NOON), ledger=Ledger())
    return ShardRecord(ticks=ticks, last_completed_at=NOON, targets={"orders": target})
