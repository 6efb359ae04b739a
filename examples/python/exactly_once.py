"""Appends the lines of a file, each once, whatever becomes of the servers meanwhile, or of this program: run again, it
goes on where the log says that it was.

    python exactly_once.py 127.0.0.1:8400 import-1 access.log

A line's number is its sequence, so nobody else may produce under this id. The log remembers a producer for as long as
fewer than a thousand others have written since.
"""

import sys

from log.v1 import log_pb2 as pb
from seedlog import Log, LogError

BATCH_LINES = 100


def main(addresses: str, producer_id: str, file: str) -> None:
    log = Log(*addresses.split(","))
    with open(file, "rb") as opened:
        lines = opened.read().splitlines()
    at = 0
    while at < len(lines):
        batch = [pb.Record(value=line) for line in lines[at : at + BATCH_LINES]]
        try:
            log.produce(batch, producer_id=producer_id, sequence=at)
        except LogError as error:
            # It was cut into other batches, or is further back than the log remembers: what is before the sequence
            # that it expects, it has.
            if error.reason != "SEQUENCE_TOO_OLD":
                raise
            at = int(error.facts["expected"])
            continue
        at += len(batch)
    print(f"{len(lines)} lines are in the log")


if __name__ == "__main__":
    main(*sys.argv[1:])
