"""The contract of ``StateStore``, held by all three stores: the blob's on a real Azurite, behind a proxy."""

import asyncio
import contextlib
import itertools
import sys
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from pydantic import TypeAdapter

from probe.adapters import blobs
from probe.adapters.state import GLANCE, Encoder, FileStateStore, MemoryStateStore
from probe.adapters.state_blob import BlobStateStore
from probe.core.brief import brief
from probe.core.connection import Connection, Sas, SharedKey
from probe.core.errors import StateConflict, StateError
from probe.core.record import ShardRecord
from probe.lab.account.azurite import ACCOUNT, KEY
from probe.ports import Loaded
from tests.timing import PATIENCE, soonest
from tests.unit.state_values import record, records

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]
_shards = itertools.count()


class MemoryPlace:
    def __init__(self) -> None:
        self._store = MemoryStateStore()

    def store(self) -> MemoryStateStore:
        return self._store

    async def damage(self, document: bytes) -> None:
        self._store._put(0, document)

    async def kept(self) -> list[bytes]:
        return list(self._store._aside.values())


class FilePlace:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"

    def store(self) -> FileStateStore:
        return FileStateStore(self._path)

    async def damage(self, document: bytes) -> None:
        self._path.write_bytes(document)

    async def kept(self) -> list[bytes]:
        return [each.read_bytes() for each in self._path.parent.glob("*.unreadable-*Z")]


class BlobPlace:
    def __init__(self, primary: str) -> None:
        self.connection = Connection(
            primary=primary, secondary=None, authorization=SharedKey(account=ACCOUNT, key=KEY)
        )
        self.container = f"state-{uuid.uuid4().hex[:12]}"

    def store(self, **options: timedelta) -> BlobStateStore:
        return BlobStateStore(
            connection=self.connection, container=self.container, prefix="here", tokens=None, **options
        )

    async def damage(self, document: bytes) -> None:
        async with self.opened() as service:
            await blobs.create_container(service, self.container)
            await blobs.put(
                service.get_blob_client(self.container, "here/shard-0.json"), document, content_type="x/y"
            )

    async def kept(self) -> list[bytes]:
        async with self.opened() as service:
            container = service.get_container_client(self.container)
            names = [name async for name in container.list_blob_names() if ".unreadable-" in name]
            return [await (await container.download_blob(name)).readall() for name in names]

    def opened(self) -> contextlib.AbstractAsyncContextManager[blobs.BlobServiceClient]:
        return blobs.opened(self.connection, None, bound=timedelta(seconds=5))


@pytest_asyncio.fixture(loop_scope="session")
async def blob_place(pair) -> BlobPlace:
    return BlobPlace(f"{pair.host.url}/{ACCOUNT}")


@pytest_asyncio.fixture(loop_scope="session", params=["blob", "file", "memory"])
async def place(request, pair, tmp_path):
    match request.param:
        case "blob":
            return BlobPlace(f"{pair.host.url}/{ACCOUNT}")
        case "file":
            return FilePlace(tmp_path)
        case _:
            return MemoryPlace()


async def test_a_glance_is_the_brief_of_what_is_stored(place):
    assert await place.store().glance(0) is None
    await place.store().save(0, record(), None)

    assert await place.store().glance(0) == brief(record())


async def test_a_glance_at_what_has_no_brief_or_not_all_of_it_at_its_beginning_loads_the_whole(place):
    old = TypeAdapter(ShardRecord).dump_json(record())
    for document in (old, b'{"brief":' + b" " * GLANCE + Encoder().encode(record())[len('{"brief":') :]):
        await place.damage(document)

        assert await place.store().glance(0) == brief(record())


async def test_before_anything_was_saved_there_is_nothing(place):
    assert await place.store().load(0) == Loaded(record=None, tag=None)


async def test_of_the_version_that_the_caller_has_only_the_tag_is_loaded(place):
    tag = await place.store().save(0, record(ticks=1), None)

    assert await place.store().load(0, tag) == Loaded(record=None, tag=tag)
    assert (await place.store().load(0, "another")).record == record(ticks=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(saved=records)
async def test_what_was_saved_is_loaded_with_the_tag_that_the_save_answered(place, saved):
    shard = next(_shards)

    tag = await place.store().save(shard, saved, None)

    assert await place.store().load(shard) == Loaded(record=saved, tag=tag)


async def test_a_save_with_the_loaded_tag_replaces_and_answers_another_tag(place):
    first = await place.store().save(0, record(ticks=1), None)

    second = await place.store().save(0, record(ticks=2), first)

    assert second != first
    assert await place.store().load(0) == Loaded(record=record(ticks=2), tag=second)


async def test_a_document_of_some_megabytes_is_saved_and_loaded(place):
    big = replace(
        record(), targets={"orders": replace(record().targets["orders"], last={"a": "x" * 3_000_000})}
    )

    tag = await place.store().save(0, big, None)

    assert await place.store().load(0) == Loaded(record=big, tag=tag)


async def test_shards_do_not_touch_each_other(place):
    await place.store().save(0, record(ticks=1), None)
    await place.store().save(7, record(ticks=2), None)

    assert (await place.store().load(0)).record == record(ticks=1)
    assert (await place.store().load(7)).record == record(ticks=2)


@pytest.mark.parametrize("stale", [pytest.param(True, id="stale tag"), pytest.param(False, id="no tag")])
async def test_a_save_over_a_version_that_was_not_loaded_is_a_conflict_and_changes_nothing(place, stale):
    first = await place.store().save(0, record(ticks=1), None)
    await place.store().save(0, record(ticks=2), first)

    with pytest.raises(StateConflict):
        await place.store().save(0, record(ticks=3), first if stale else None)

    assert (await place.store().load(0)).record == record(ticks=2)


async def test_of_two_first_saves_at_once_one_wins_and_one_is_a_conflict(place):
    results = await asyncio.gather(
        *(place.store().save(0, record(ticks=each), None) for each in (1, 2)), return_exceptions=True
    )

    assert sorted(type(each) for each in results if not isinstance(each, str)) == [StateConflict]
    assert (await place.store().load(0)).tag in results


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\xff\xfejunk", id="binary junk"),
        pytest.param(Encoder().encode(record())[:-9], id="truncated"),
        pytest.param(b'{"schema": 99, "targets": {}}', id="schema 99"),
    ],
)
async def test_a_document_that_cannot_be_read_is_kept_aside_once_told_and_replaced(place, document):
    await place.damage(document)

    first, second = await place.store().load(0), await place.store().load(0)
    tag = await place.store().save(0, record(ticks=1), second.tag)

    assert first == second
    assert first.record is None
    assert first.replaced.startswith("the stored state cannot be used: ")
    assert await place.kept() == [document]
    assert await place.store().load(0) == Loaded(record=record(ticks=1), tag=tag)


async def test_a_document_that_cannot_be_read_is_not_replaced_by_who_did_not_see_it(place):
    await place.damage(b"junk")

    with pytest.raises(StateConflict):
        await place.store().save(0, record(ticks=1), None)


INCREMENTING = """
import asyncio, os, sys
from dataclasses import replace
from pathlib import Path
from probe.adapters.state import FileStateStore
from probe.adapters.state_blob import BlobStateStore
from probe.core.connection import Connection, SharedKey
from probe.core.errors import StateConflict
from probe.core.record import ShardRecord

async def met(folder):
    (folder / f"{os.getpid()}.here").touch()
    while len(list(folder.glob("*.here"))) < 2:
        await asyncio.sleep(0.001)

async def main(kind, folder, *place):
    await met(Path(folder))
    if kind == "file":
        store = FileStateStore(Path(place[0]))
    else:
        url, container, account, key = place
        connection = Connection(
            primary=url, secondary=None, authorization=SharedKey(account=account, key=key)
        )
        store = BlobStateStore(connection=connection, container=container, prefix="here", tokens=None)
    conflicts = 0
    for _ in range(50):
        while True:
            loaded = await store.load(0)
            record = loaded.record or ShardRecord(targets={})
            await asyncio.sleep(0.001)  # a tick measures here
            try:
                await store.save(0, replace(record, ticks=record.ticks + 1), loaded.tag)
                break
            except StateConflict:
                conflicts += 1
    print(conflicts)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("kind", ["blob", "file"])
async def test_two_processes_that_reload_on_a_conflict_lose_no_increment(kind, blob_place, tmp_path):
    file = FilePlace(tmp_path)
    place = {
        "file": [str(tmp_path / "state.json")],
        "blob": [blob_place.connection.primary, blob_place.container, ACCOUNT, KEY],
    }[kind]

    conflicts = await asyncio.gather(*(_python(INCREMENTING, kind, str(tmp_path), *place) for _ in range(2)))

    store = blob_place.store() if kind == "blob" else file.store()
    assert (await store.load(0)).record.ticks == 100
    assert sum(int(each) for each in conflicts) > 0, "the two never met, so that nothing was shown"


async def _python(script: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return told.decode()


@pytest.mark.parametrize(
    ("fault", "options", "error_type"),
    [
        pytest.param("refuse", {}, "refused", id="refused"),
        pytest.param("black_hole", {}, "timeout", id="black hole"),
        pytest.param("connect_drop", {}, "connect_timeout", id="no answer to the SYN"),
        pytest.param("garbage", {}, "protocol", id="garbage"),
        pytest.param("header_drip", {"interval": 0.3}, "timeout", id="a byte at a time"),
        pytest.param("status", {"code": 503}, "503", id="503"),
        pytest.param("status", {"code": 403}, "403", id="403"),
        pytest.param("status", {"code": 404, "error": "ResourceNotFound"}, "404", id="no such account"),
        pytest.param("status", {"code": 409, "error": "ContainerBeingDeleted"}, "409", id="being deleted"),
        pytest.param("status", {"code": 412, "error": "LeaseIdMissing"}, "412", id="leased by somebody"),
    ],
)
@pytest.mark.parametrize("act", ["load", "save"])
async def test_a_store_that_fails_is_told_as_a_state_error_within_the_bound(
    act, fault, options, error_type, blob_place, pair
):
    bound = timedelta(seconds=0.9)
    store = blob_place.store(bound=bound)
    tag = await blob_place.store().save(0, record(), None)
    pair.host.fault(fault, **options)

    async def failing() -> None:
        with pytest.raises(StateError, match="; ") as caught:
            await (store.load(0) if act == "load" else store.save(0, record(), tag))
        assert not isinstance(caught.value, StateConflict)
        assert caught.value.error_type == error_type
        assert KEY not in str(caught.value)

    limit = bound.total_seconds() + 0.3
    assert await soonest(failing, within=limit) < limit


@pytest.mark.parametrize(
    ("fault", "error_type"), [("body_drip", "timeout"), ("reset", "reset"), ("truncate", "truncated")]
)
async def test_a_document_that_does_not_arrive_whole_is_given_up_within_the_bound(
    fault, error_type, blob_place, pair
):
    """A broken body is told as what it is; the SDK would try it again each second, whatever it is told."""
    await blob_place.store().save(0, record(), None)
    pair.host.fault(fault)

    async def failing() -> None:
        with pytest.raises(StateError) as caught:
            await blob_place.store(bound=timedelta(seconds=0.5)).load(0)
        assert caught.value.error_type == error_type

    assert await soonest(failing, within=0.8) < 0.8


async def test_a_container_that_is_being_deleted_is_no_reason_to_wait(blob_place, pair):
    pair.host.fault("status", code=409, error="ContainerBeingDeleted", path="restype=container")

    with pytest.raises(StateError, match="the container is missing and cannot be created") as caught:
        await blob_place.store().save(0, record(), None)

    assert caught.value.error_type == "409"


async def test_a_wrong_key_is_told_without_it(blob_place):
    wrong = Connection(
        primary=blob_place.connection.primary,
        secondary=None,
        authorization=SharedKey(account=ACCOUNT, key="c2VjcmV0"),
    )
    store = BlobStateStore(connection=wrong, container="state", prefix="here", tokens=None)

    with pytest.raises(StateError, match="check the key or SAS") as caught:
        await store.load(0)

    assert caught.value.error_type == "403"
    assert "c2VjcmV0" not in str(caught.value)


async def test_a_sas_is_enough_and_never_told(blob_place, pair, sas):
    by_sas = Connection(primary=blob_place.connection.primary, secondary=None, authorization=Sas(token=sas))
    store = BlobStateStore(connection=by_sas, container=blob_place.container, prefix="here", tokens=None)
    tag = await store.save(0, record(ticks=1), None)
    assert await store.load(0) == Loaded(record=record(ticks=1), tag=tag)
    pair.host.fault("garbage")

    with pytest.raises(StateError) as caught:
        await store.save(0, record(), tag)

    assert "sig=" not in str(caught.value)


async def test_a_load_gets_over_a_single_503(blob_place, pair):
    tag = await blob_place.store().save(0, record(ticks=1), None)
    pair.host.fault("flap", of="status", every=2)
    await blob_place.store().load(0)

    assert await blob_place.store().load(0) == Loaded(record=record(ticks=1), tag=tag)
    assert pair.host.faults


async def test_a_save_whose_answer_is_lost_is_not_repeated(blob_place, pair):
    """A repeated one would meet its own ETag, pass for a conflict, and its facts would be folded twice."""
    tag = await blob_place.store().save(0, record(ticks=1), None)
    writes = pair.host.counts["writes"]
    pair.host.fault("reset")

    with pytest.raises(StateError) as caught:
        await blob_place.store().save(0, record(ticks=2), tag)

    assert caught.value.error_type == "reset"
    assert pair.host.counts["writes"] == writes + 1
    pair.heal()
    assert (await blob_place.store().load(0)).record == record(ticks=2), "it had arrived"


async def test_a_document_that_was_deleted_meanwhile_is_a_conflict(blob_place):
    tag = await blob_place.store().save(0, record(), None)
    async with blob_place.opened() as service:
        await service.delete_container(blob_place.container)

    with pytest.raises(StateConflict):
        await blob_place.store().save(0, record(), tag)


async def test_no_connection_outlives_a_call(blob_place, pair):
    tag = await blob_place.store().save(0, record(), None)
    await blob_place.store().save(0, record(), tag)
    await blob_place.store().load(0)

    async with asyncio.timeout(PATIENCE):
        while pair.host.connections:
            await asyncio.sleep(0.01)
