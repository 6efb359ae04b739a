"""Makes the usual mistakes, and prints what the log says of each: code, reason and facts, for programs; a sentence for
people.

    python errors.py 127.0.0.1:8400
"""

import sys

from log.v1 import log_pb2 as pb
from seedlog import Log, LogError


def main(addresses: str) -> None:
    log = Log(*addresses.split(","))
    record = pb.Record(value=b"hi")
    first = log.produce([record], producer_id="errors.py", sequence=7, allow_sequence_gap=True)
    mistakes = {
        "reading past the end": lambda: log.read(1 << 40),
        "producing nothing": lambda: log.produce([]),
        "a record of 2 MiB": lambda: log.produce([pb.Record(value=bytes(2 << 20))]),
        "a log that is not there": lambda: log.produce([record], log="journal"),
        "an offset that is taken": lambda: log.produce([record], expected_offset=first.offset),
        "a sequence too far": lambda: log.produce([record], producer_id="errors.py", sequence=99),
        "an old sequence": lambda: log.produce([record], producer_id="errors.py", sequence=6),
    }
    for what, mistake in mistakes.items():
        try:
            mistake()
        except LogError as error:
            facts = " ".join(f"{name}={fact}" for name, fact in sorted(error.facts.items()))
            written = "maybe written" if error.maybe_written else "not written"
            print(f"{what}: {error.code.name} {error.reason} ({facts}; {written}): {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
