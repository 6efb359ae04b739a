"""Appends each value as a record, all of them or none, and says where they are:

    python produce.py 127.0.0.1:8400 one two three
"""

import sys

from log.v1 import log_pb2 as pb
from seedlog import Log


def main(addresses: str, *values: str) -> None:
    log = Log(*addresses.split(","))
    headers = [pb.Header(name="from", value=b"produce.py")]
    records = [pb.Record(value=value.encode(), key=b"example", headers=headers) for value in values]
    answer = log.produce(records)
    print(f"offsets {answer.offset} to {answer.offset + answer.count - 1}")


if __name__ == "__main__":
    main(*sys.argv[1:])
