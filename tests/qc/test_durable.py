"""A file is there whole, whoever dies while it is written."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from qc.durable import write_whole

WRITES_FOR_EVER = """
import sys
from pathlib import Path
from qc.durable import write_whole
number = 0
while True:
    number += 1
    write_whole(Path(sys.argv[1]), f"{number}\\n" * 200_000)
    if number == 2:
        print("began", flush=True)
"""


def test_content_is_replaced_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_whole(path, "größer")
    write_whole(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_secret_is_never_open_to_others(tmp_path):
    write_whole(tmp_path / "key", "secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_what_was_there_stays_when_the_disk_refuses(tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "file").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "file", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_writer_that_is_killed_leaves_one_whole_content(tmp_path):
    path = tmp_path / "file"
    with subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"began\n"
        writer.kill()
    lines = path.read_text().splitlines()
    assert len(lines) == 200_000
    assert len(set(lines)) == 1
