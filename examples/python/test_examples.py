"""The examples against running nodes. SEEDLOG is the program:

    SEEDLOG=../../target/debug/seedlog python -m unittest
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from log.v1 import log_pb2 as pb
from seedlog import Log, LogError

SEEDLOG = os.environ["SEEDLOG"]
HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_SECONDS = 60


def free_port(step: int = 0, nodes: int = 1) -> int:
    """A port that is free, and so are those that `nodes` take `step` apart, with gossip's beside them."""
    for _ in range(100):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            first = taken.getsockname()[1]
        if first + step * nodes < 65535 and all(is_free(first + step * node + by) for node in range(nodes) for by in (0, 1)):
            return first
    raise AssertionError("no ports are free")


def is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def example(program: str, *args: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, program, *args], cwd=HERE, stdout=subprocess.PIPE, text=True)


def output(program: str, *args: str) -> str:
    running = example(program, *args)
    said, _ = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 0, (program, running.returncode, said)
    return said


class Dev:
    """`seedlog dev`, and what it said when it was ready."""

    def __init__(self, data_dir: str, nodes: int = 1):
        rpc, http = free_port(10, nodes), free_port(1, nodes)
        self._command = [SEEDLOG, "dev", "--data-dir", data_dir, "--rpc-port", str(rpc)]
        self._command += ["--http-addr", f"127.0.0.1:{http}", "--nodes", str(nodes), "--output", "json"]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline()
        assert line, f"it has ended with {self.process.wait()}"
        self.ready = json.loads(line)
        nodes = self.ready.get("nodes", [self.ready])
        self.addresses = ",".join(node["rpc_addr"] for node in nodes)

    def kill(self) -> None:
        self.process.kill()
        self.ended()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.ended()

    def ended(self) -> None:
        self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()


class OneNode(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.dev = Dev(os.path.join(scratch.name, "data"))
        self.addCleanup(self.dev.stop)
        self.log = Log(self.dev.addresses)
        self.addCleanup(self.log.close)

    def lines(self, count: int) -> tuple[str, list[bytes]]:
        """A file of so many lines, and these."""
        lines = [b"line %d" % number for number in range(count)]
        file = os.path.join(self.scratch, "lines")
        with open(file, "wb") as opened:
            opened.write(b"".join(line + b"\n" for line in lines))
        return file, lines

    def values(self, count: int) -> list[bytes]:
        """All that the log has, which must be so many."""
        values: list[bytes] = []
        while len(values) < count:
            values += [record.value for record in self.log.read(len(values))]
        with self.assertRaises(LogError) as end:
            self.log.read(count)
        self.assertEqual(end.exception.facts["next"], str(count))
        return values

    def test_what_is_produced_is_tailed_with_what_comes_later(self):
        self.assertEqual(output("produce.py", self.dev.addresses, "one", "two"), "offsets 0 to 1\n")
        tail = example("tail.py", self.dev.addresses, "1")
        try:
            self.assertEqual(tail.stdout.readline(), "1: two\n")
            self.assertEqual(output("produce.py", self.dev.addresses, "drei"), "offsets 2 to 2\n")
            self.assertEqual(tail.stdout.readline(), "2: drei\n")
        finally:
            tail.kill()
            tail.communicate()

    def test_a_record_has_what_it_was_given_whoever_wrote_it(self):
        output("produce.py", self.dev.addresses, "one")
        command = [SEEDLOG, "produce", "--addr", self.dev.addresses, "--key", "k", "--header", "a=b"]
        subprocess.run(command, input=b"two\n", check=True, stdout=subprocess.DEVNULL)
        ours, theirs = self.log.read(0)
        self.assertEqual((ours.value, ours.key, ours.headers[0].value), (b"one", b"example", b"produce.py"))
        self.assertEqual((theirs.offset, theirs.value, theirs.key), (1, b"two", b"k"))
        self.assertEqual([(header.name, header.value) for header in theirs.headers], [("a", b"b")])

    def test_every_mistake_is_answered_with_its_facts(self):
        said = output("errors.py", self.dev.addresses).splitlines()
        for line, wanted in zip(said, [
            "reading past the end: OUT_OF_RANGE OFFSET_OUT_OF_RANGE (asked=1099511627776 first=0 next=1; not written)",
            "producing nothing: INVALID_ARGUMENT EMPTY_REQUEST (; not written)",
            "a record of 2 MiB: INVALID_ARGUMENT RECORD_TOO_LARGE (bytes=2097152 index=0 max=1048576; not written)",
            "a log that is not there: NOT_FOUND UNKNOWN_LOG (name=journal; not written)",
            "an offset that is taken: ABORTED EXPECTED_OFFSET (expected=0 next=1; not written)",
            "a sequence too far: FAILED_PRECONDITION SEQUENCE_GAP (expected=8 sequence=99; not written)",
            "an old sequence: FAILED_PRECONDITION SEQUENCE_TOO_OLD (expected=8 sequence=6; not written)",
        ], strict=True):
            self.assertTrue(line.startswith(wanted), f"{line!r} should start with {wanted!r}")

    def test_each_line_is_there_once_though_the_node_is_killed_again_and_again(self):
        file, lines = self.lines(20_000)
        running = example("exactly_once.py", self.dev.addresses, "import", file)
        for kills in range(1, 4):
            self.grown(kills * 2000)
            self.dev.kill()
            self.dev.start()
        said, _ = running.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((running.returncode, said), (0, "20000 lines are in the log\n"))
        self.assertEqual(self.values(len(lines)), lines)

    def test_a_run_that_was_killed_is_finished_by_the_next_and_a_third_adds_nothing(self):
        file, lines = self.lines(20_000)
        running = example("exactly_once.py", self.dev.addresses, "import", file)
        self.grown(3000)
        running.kill()
        running.communicate()
        for _ in range(2):
            self.assertEqual(output("exactly_once.py", self.dev.addresses, "import", file), "20000 lines are in the log\n")
            self.assertEqual(self.values(len(lines)), lines)

    def test_without_a_producer_nothing_is_sent_twice_that_may_be_there(self):
        self.dev.kill()
        with self.assertRaises(LogError) as lost:
            self.log.produce([pb.Record(value=b"x")])
        self.assertTrue(lost.exception.maybe_written)
        self.dev.start()

    def grown(self, to: int) -> None:
        """Returns when the log has more than so many records."""
        for record in self.log.tail(to):
            return


class Cluster(unittest.TestCase):
    def test_a_tail_and_a_producer_go_on_when_the_leader_is_killed(self):
        with tempfile.TemporaryDirectory() as scratch:
            dev = Dev(os.path.join(scratch, "data"), nodes=3)
            self.addCleanup(dev.stop)
            count, log = 20_000, Log(*dev.addresses.split(","))
            self.addCleanup(log.close)
            file = os.path.join(scratch, "lines")
            with open(file, "w") as opened:
                opened.writelines(f"line {number}\n" for number in range(count))
            seen: list[bytes] = []

            def follow():
                for record in log.tail(0):
                    seen.append(record.value)
                    if record.offset + 1 == count:
                        return

            following = threading.Thread(target=follow, daemon=True)
            following.start()
            running = example("exactly_once.py", dev.addresses, "import", file)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(seen) < 2000 and time.monotonic() < deadline:
                time.sleep(0.01)
            leader = next(node for node in dev.ready["nodes"] if node["name"] == dev.ready["leader"])
            os.kill(leader["pid"], signal.SIGKILL)
            said, _ = running.communicate(timeout=PATIENCE_SECONDS)
            self.assertEqual((running.returncode, said), (0, f"{count} lines are in the log\n"))
            following.join(PATIENCE_SECONDS)
            self.assertEqual(seen, [b"line %d" % number for number in range(count)])


if __name__ == "__main__":
    unittest.main()
