"""Prints the records from an offset on, and those to come:

    python tail.py 127.0.0.1:8400,127.0.0.1:8410,127.0.0.1:8420 0
"""

import sys

from seedlog import Log, LogError


def main(addresses: str, offset: str = "0") -> None:
    log = Log(*addresses.split(","))
    start = int(offset)
    while True:
        try:
            for record in log.tail(start):
                print(f"{record.offset}: {record.value.decode(errors='replace')}", flush=True)
                start = record.offset + 1
        except LogError as error:
            # Trimmed before it could be read: on from what is left.
            if error.reason != "OFFSET_OUT_OF_RANGE" or int(error.facts["first"]) <= start:
                sys.exit(str(error))
            start = int(error.facts["first"])


if __name__ == "__main__":
    main(*sys.argv[1:])
