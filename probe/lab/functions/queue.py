"""Queues as the Functions host treats them: messages in to a queue function, and a function's messages out.

Rules: a message is leased while its function runs (the lease is renewed), deleted when the function
succeeds, made visible again after visibilityTimeout when it fails, and moved to `<queue>-poison` once it
has failed maxDequeueCount times or cannot be decoded. Delivery is at least once: a host that vanishes
gives the message back when its lease ends, one that leaves gives it back at once. A storage service that
does not answer is told once and asked again; it ends nothing.

Source: the queue extension of Azure Functions (QueueListener, QueueProcessor); what it hands over as
metadata.
"""

import asyncio
import base64
import binascii
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from probe.lab.functions.config import Binding, Function, HostError, QueueOptions
from probe.lab.functions.process import Data, Tell, as_bytes, as_json, string
from probe.lab.functions.timer import written

FIRST_POLLING_INTERVAL: Final = timedelta(milliseconds=100)
LEASE: Final = timedelta(minutes=10)
RELEASE_BOUND: Final = 0.3
LARGEST_MESSAGE: Final = 64 * 1024


def encode(data: bytes, options: QueueOptions) -> str:
    return base64.b64encode(data).decode() if options.base64 else data.decode()


def decode(content: str, options: QueueOptions) -> bytes:
    """Undo `encode`. Raises: ValueError, where base64 is expected and is not there."""
    return base64.b64decode(content, validate=True) if options.base64 else content.encode()


def body(message: bytes) -> Data:
    """Give a message's body to the runtime: as a string where it is text, as the host does."""
    try:
        return string(message.decode())
    except UnicodeDecodeError:
        return as_bytes(message)


def metadata(message: QueueMessage) -> dict[str, Data]:
    """Give the trigger's metadata; only kinds string and json can be read by the runtime."""
    times = {
        "ExpirationTime": message.expires_on,
        "InsertionTime": message.inserted_on,
        "NextVisibleTime": message.next_visible_on,
    }
    return {
        "Id": string(message.id),
        "PopReceipt": string(message.pop_receipt or ""),
        "DequeueCount": as_json(json.dumps(message.dequeue_count)),
        **{name: as_json(json.dumps(written(time))) for name, time in times.items()},
    }


def messages(output: Data) -> list[bytes]:
    """Read what a function set on a queue output: one message, or a list of str. Raises: HostError."""
    ((kind, value),) = output.items()
    match kind:
        case "string":
            return [str(value).encode()]
        case "bytes":
            return [base64.b64decode(value)]
    told = json.loads(value)
    if isinstance(told, list) and all(isinstance(message, str) for message in told):
        return [message.encode() for message in told]
    raise HostError("a queue output must be str, bytes or a list of str: the lab's host sends no others")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDelivery:
    """One message as it is handed to its function."""

    function: Function
    body: Data
    metadata: Mapping[str, Data]


type Deliver = Callable[[QueueDelivery], Awaitable[bool]]
"""Runs the function on a delivery; tells whether it succeeded."""


class QueueService:
    """The queues of one host: its clients by connection, and who waits for messages on which queue."""

    def __init__(self, connections: Mapping[str, str], options: QueueOptions) -> None:
        self.options = options
        # No retries of the client's own: the listener asks again, and a host that leaves must not wait.
        bounds: dict[str, Any] = {"retry_total": 0, "connection_timeout": 2, "read_timeout": 5}
        self._services = {
            name: QueueServiceClient.from_connection_string(told, **bounds)
            for name, told in connections.items()
        }
        self._arrivals: dict[str, asyncio.Event] = {}

    def queue(self, binding: Binding, suffix: str = "") -> QueueClient:
        name = binding.details["queueName"] + suffix
        return self._services[binding.details["connection"]].get_queue_client(name)

    def arrival(self, binding: Binding) -> asyncio.Event:
        """Give the event that is set when this host itself sends to the queue: its listener need not wait."""
        return self._arrivals.setdefault(binding.details["queueName"], asyncio.Event())

    async def send(self, binding: Binding, output: Data) -> int:
        """Write a function's output; the queue is made where it is missing. Raises: HostError, AzureError."""
        sent = [encode(message, self.options) for message in messages(output)]
        for message in sent:
            if len(message) > LARGEST_MESSAGE:
                name, told = (
                    binding.details["queueName"],
                    f"{len(message)} bytes; {LARGEST_MESSAGE} are allowed",
                )
                raise HostError(f"a message for queue {name!r} has {told}")
        async with self.queue(binding) as queue:
            for message in sent:
                await _send(queue, message)
        self.arrival(binding).set()
        return len(sent)

    async def close(self) -> None:
        for service in self._services.values():
            await service.close()


async def _send(queue: QueueClient, content: str) -> None:
    try:
        await queue.send_message(content)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(content)


class QueueListener:
    """Takes one function's messages off its queue, as many at once as host.json allows."""

    def __init__(
        self,
        function: Function,
        service: QueueService,
        deliver: Deliver,
        tell: Tell,
        lease: timedelta = LEASE,
    ) -> None:
        self.function = function
        self._service = service
        self._deliver = deliver
        self._tell = tell
        self._lease = lease
        self._running: set[asyncio.Task[None]] = set()
        self._delivering: set[asyncio.Task[None]] = set()
        self._down = False

    async def listen(self) -> None:
        """Poll until cancelled, ever less often while there is nothing; then give back what is running."""
        options, interval = self._service.options, FIRST_POLLING_INTERVAL
        async with (
            self._service.queue(self.function.trigger) as queue,
            contextlib.AsyncExitStack() as leaving,
        ):
            leaving.push_async_callback(self._give_back)
            while True:
                received = await self._receive(queue)
                for message in received:
                    self._start(queue, message)
                interval = min(interval * 2, options.max_polling_interval)
                interval = FIRST_POLLING_INTERVAL if received else interval
                await self._wait(interval, full=len(self._running) > options.new_batch_threshold)

    async def _give_back(self) -> None:
        """Stop waiting for functions and give their messages back; let those settle that are settling."""
        for task in tuple(self._delivering):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=2 * RELEASE_BOUND)

    async def _receive(self, queue: QueueClient) -> list[QueueMessage]:
        try:
            found = await self._take(queue)
        except AzureError as error:
            self._told_down(error)
            return []
        if self._down:
            self._tell(f"The queue of '{self.function.name}' can be read again")
        self._down = False
        return found

    async def _take(self, queue: QueueClient) -> list[QueueMessage]:
        wanted = self._service.options.batch_size
        lease = int(self._lease.total_seconds())
        try:
            pages = queue.receive_messages(
                messages_per_page=wanted, max_messages=wanted, visibility_timeout=lease
            )
            return [message async for message in pages]
        except ResourceNotFoundError:
            # As in Azure, the queue appears with its first message.
            return []

    def _told_down(self, error: AzureError) -> None:
        if not self._down:
            self._tell(f"The queue of '{self.function.name}' cannot be read, trying on: {error}")
        self._down = True

    async def _wait(self, interval: timedelta, *, full: bool) -> None:
        if full:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return
        arrival = self._service.arrival(self.function.trigger)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval.total_seconds()):
                await arrival.wait()
        arrival.clear()

    def _start(self, queue: QueueClient, message: QueueMessage) -> None:
        task = asyncio.create_task(self._process(queue, message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _process(self, queue: QueueClient, message: QueueMessage) -> None:
        try:
            await self._handle(queue, message)
        except AzureError as error:
            # Its lease ends and it comes back: at least once.
            self._tell(f"Message {message.id} of '{self.function.name}' could not be settled: {error}")

    async def _handle(self, queue: QueueClient, message: QueueMessage) -> None:
        options = self._service.options
        try:
            content = decode(message.content, options)
        except (ValueError, binascii.Error):
            await self._poison(queue, message, "it is not base64, which host.json asks for")
            return
        if (message.dequeue_count or 0) > options.max_dequeue_count:
            await self._poison(queue, message, f"it was taken {message.dequeue_count} times")
            return
        delivery = QueueDelivery(function=self.function, body=body(content), metadata=metadata(message))
        try:
            succeeded = await self._delivered(queue, message, delivery)
        except asyncio.CancelledError:
            await self._release(queue, message)
            raise
        await self._settle(queue, message, succeeded=succeeded)

    async def _delivered(self, queue: QueueClient, message: QueueMessage, delivery: QueueDelivery) -> bool:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs has one
        async with self._leased(queue, message):
            self._delivering.add(task)
            try:
                return await self._deliver(delivery)
            finally:
                self._delivering.discard(task)

    async def _settle(self, queue: QueueClient, message: QueueMessage, *, succeeded: bool) -> None:
        options = self._service.options
        if succeeded:
            await queue.delete_message(message)
        elif (message.dequeue_count or 0) >= options.max_dequeue_count:
            await self._poison(queue, message, f"it failed {message.dequeue_count} times")
        else:
            again = int(options.visibility_timeout.total_seconds())
            await queue.update_message(message, visibility_timeout=again)

    async def _poison(self, queue: QueueClient, message: QueueMessage, why: str) -> None:
        async with self._service.queue(self.function.trigger, "-poison") as poison:
            await _send(poison, message.content)
            await queue.delete_message(message)
        self._tell(f"Message {message.id} was moved to '{poison.queue_name}': {why}")

    async def _release(self, queue: QueueClient, message: QueueMessage) -> None:
        """Give a message back as the host leaves; one that cannot be comes back when its lease ends."""
        with contextlib.suppress(AzureError, TimeoutError):
            async with asyncio.timeout(RELEASE_BOUND):
                await queue.update_message(message, visibility_timeout=0)

    @contextlib.asynccontextmanager
    async def _leased(self, queue: QueueClient, message: QueueMessage) -> AsyncIterator[None]:
        renewal = asyncio.create_task(self._renew(queue, message))
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def _renew(self, queue: QueueClient, message: QueueMessage) -> None:
        lease = self._lease.total_seconds()
        while True:
            await asyncio.sleep(lease / 2)
            renewed = await queue.update_message(message, visibility_timeout=int(lease))
            message.pop_receipt = renewed.pop_receipt
