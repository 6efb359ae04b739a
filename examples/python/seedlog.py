"""What a client needs besides the stubs: errors with their facts, and tries that write nothing twice."""

import itertools
import time
from collections.abc import Iterator

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from log.v1 import log_pb2 as pb
from log.v1 import log_pb2_grpc

# One try: longer than a server waits for a leader, by default 5 s, since it then says that nothing was written.
TRY_SECONDS = 6.0
# All tries of a call together.
CALL_SECONDS = 30.0
PAUSE_SECONDS = 0.2

CHANNEL_OPTIONS = [
    # A server's messages have at most 8 MiB; grpc takes 4 unless told.
    ("grpc.max_receive_message_length", 8 << 20),
    # A server that was down is found again soon.
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A tail on a link that is dead hears of it.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
]


class LogError(Exception):
    """A call that failed. `reason` is one of the server's, such as OFFSET_OUT_OF_RANGE, with its `facts`; it is empty
    if no server said anything. `maybe_written`: a produce may have happened all the same."""

    # What says that nothing was written, and that another try may succeed, here or at another server.
    PASSING = {"NO_LEADER", "STARTING", "BEING_REPAIRED", "SHUTTING_DOWN", "DISK_FULL"}
    # What leaves it open, said by a server.
    OPEN = {"OUTCOME_UNKNOWN", "INTERNAL"}
    # What is said before anybody looks at the records.
    REFUSED = {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }

    def __init__(self, error: grpc.RpcError):
        super().__init__(error.details())
        self.code: grpc.StatusCode = error.code()
        self.reason, self.facts = "", {}
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == "seedlog":
                self.reason, self.facts = info.reason, dict(info.metadata)
        self.maybe_written = self.reason in self.OPEN or not self.reason and self.code not in self.REFUSED

    @property
    def is_passing(self) -> bool:
        """It says something of a server, or of the way to it, and nothing of the request."""
        return self.reason in self.PASSING or self.maybe_written


class Log:
    """A log, by one or several addresses (`host:port`) of its servers: each of them takes every call."""

    def __init__(self, *addresses: str):
        self._channels = [grpc.insecure_channel(address, options=CHANNEL_OPTIONS) for address in addresses]
        self._servers = itertools.cycle([log_pb2_grpc.LogStub(channel) for channel in self._channels])
        self._server = next(self._servers)

    def produce(self, records: list[pb.Record], **conditions) -> pb.ProduceResponse:
        """Appends the records as one batch, durable on a majority when this returns. `conditions` are further fields
        of ProduceRequest. Only with a `producer_id` is it sent again when nobody knows what became of it."""
        request = pb.ProduceRequest(records=records, **conditions)
        return self._tried(lambda server: server.Produce(request, timeout=TRY_SECONDS), bool(request.producer_id))

    def read(self, offset: int, records_max: int = 1000) -> list[pb.Record]:
        """Some records from an offset on, at least one."""
        request = pb.ConsumeRequest(offset=offset, max_records=records_max)
        return self._tried(lambda server: server.Consume(request, timeout=TRY_SECONDS), True).records

    def tail(self, offset: int) -> Iterator[pb.Record]:
        """The records from an offset on, and those to come, each once, whichever server they are from."""
        failing_since = None
        while True:
            try:
                for answer in self._server.ConsumeStream(pb.ConsumeRequest(offset=offset, max_records=1000)):
                    failing_since = None
                    for record in answer.records:
                        offset = record.offset + 1
                        yield record
            except grpc.RpcError as broken:
                error = LogError(broken)
                failing_since = failing_since or time.monotonic()
                if not error.is_passing or time.monotonic() - failing_since > CALL_SECONDS:
                    raise error from None
            self._server = next(self._servers)
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def _tried(self, call, repeatable: bool):
        deadline = time.monotonic() + CALL_SECONDS
        maybe_written = False
        while True:
            try:
                return call(self._server)
            except grpc.RpcError as failed:
                error = LogError(failed)
            # What is said of the last try says nothing of those before it.
            maybe_written = error.maybe_written = maybe_written or error.maybe_written
            again = error.is_passing and (repeatable or not error.maybe_written)
            if not again or time.monotonic() + PAUSE_SECONDS > deadline:
                raise error
            self._server = next(self._servers)
            time.sleep(PAUSE_SECONDS)
