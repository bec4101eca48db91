"""contrib/bench/run from outside: a short run of two servers that need nothing from elsewhere, and mistakes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchlib import loads, overload, peers
from daemon import until

RUN = Path(peers.__file__).resolve().parent.parent / "run"
BUILD = Path(os.environ["FCGI_LOAD"]).resolve().parent.parent.parent
AS_IT_IS = ["--no-build", "--no-install", "--build", str(BUILD)]
SHORT = [*AS_IT_IS, "--peer", "wsgi-fcgi,c-responder", "--duration", "0.1", "--warm-up", "0.1"]


def run(*words, **more):
    return subprocess.run([sys.executable, RUN, *words], capture_output=True, text=True, timeout=300, **more)


def processes_with(text):
    found = []
    for status in Path("/proc").glob("[0-9]*"):
        try:
            found += [status.name] if text in (status / "cmdline").read_text() else []
        except OSError:
            pass
    return found


def test_short_run(tmp_path):
    done = run(*SHORT, "--load", "kept,file", "--path", "fastcgi", "--rounds", "2", "--results", str(tmp_path))
    # Whether the targets are met in a tenth of a second is another question.
    assert done.returncode in (0, 1), done.stderr
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["whole"] and record["rounds"] == 2
    assert "--load kept,file" in record["arguments"]
    samples = record["samples"]["fastcgi"]
    assert {load: sorted(by_peer) for load, by_peer in samples.items()} == {
        "kept": ["c-responder", "wsgi-fcgi"],
        "file": ["wsgi-fcgi"],
    }
    for by_peer in samples.values():
        for rounds in by_peer.values():
            assert len(rounds) == 2
            assert all(sample["rps"] > 0 and sample["cpu_us"] > 0 for sample in rounds)
            assert not any(sample.get(key) for sample in rounds for key in ("failed", "errors", "not200", "bad_length"))
    text = (tmp_path / "table.txt").read_text()
    assert text in done.stdout
    assert "kept: CPU per request, wsgi-fcgi / responder without Python" in text
    assert f"{loads.FILE_BYTES // loads.MIB // 1024} GiB" in text


def test_figures_of_an_earlier_run(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(*SHORT, "--load", "kept", "--path", "fastcgi", "--rounds", "1", "--results", str(first))
    done = run("--from", str(first / "result.json"), "--results", str(second))
    assert done.returncode in (0, 1), done.stderr
    assert (second / "table.txt").read_text() == (first / "table.txt").read_text()


def test_overload(tmp_path):
    """Its server is killed after each sample, and its threads are stuck for good: nothing of that stays behind."""
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        done = run(*AS_IT_IS, "--peer", "wsgi-fcgi", "--load", "overload-stuck,burst", "--path", "fastcgi", "--rounds", "1",
                   "--results", str(tmp_path), env={**os.environ, "TMPDIR": scratch})  # fmt: skip
        until(lambda: not processes_with(scratch), "the last process to end")
    assert done.returncode in (0, 1), done.stderr  # whether the targets are met is another question
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["whole"] and not record["samples"]
    found = record["overload"]["fastcgi"]
    stuck = found["overload-stuck"]["wsgi-fcgi"][0]
    assert 0 < stuck["capacity"] <= 200  # 5 ms of sleep in one thread, as all others are stuck
    assert [point["factor"] for point in stuck["points"]] == [0.5, 1.5, 10]
    assert all(point["ready"] == point["clients"] >= 1000 for point in stuck["points"])
    burst = found["burst"]["wsgi-fcgi"][0]["points"][0]
    assert burst["due_all"] == 15000 == burst["good_all"] + burst["refused_all"]
    text = (tmp_path / "table.txt").read_text()
    assert text in done.stdout and "31 of 32 threads in a deadlock" in text


def interrupt(command, number, scratch):
    """In its third round. SIGINT is ignored by what a shell starts in the background, and so by all that this starts."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "TMPDIR": scratch},
                          preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)) as process:  # fmt: skip
        try:
            assert any(line.startswith("round 2 of") for line in process.stderr)
            process.send_signal(number)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(tmp_path, number):
    """What was measured is kept, and nothing stays behind."""
    command = [sys.executable, RUN, *SHORT, "--load", "kept", "--path", "fastcgi", "--rounds", "1000",
               "--results", str(tmp_path)]  # fmt: skip
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:  # names of sockets are short
        interrupt(command, number, scratch)
        until(lambda: not processes_with(scratch), "the last process to end")  # it was killed, and init reaps it
        assert not os.listdir(scratch)
    record = json.loads((tmp_path / "result.json").read_text())
    assert not record["whole"]
    assert len(record["samples"]["fastcgi"]["kept"]["wsgi-fcgi"]) >= 2
    assert "interrupted" in (tmp_path / "table.txt").read_text()


@pytest.mark.parametrize(
    "words,status,said",
    [
        (["--peer", "uswgi"], 2, "not uswgi"),
        (["--load", "hello"], 2, "not hello"),
        (["--path", "https"], 2, "not https"),
        (["--processes", "0"], 2, "positive"),
        (["--rounds", "0"], 2, "nothing would be measured"),
        ([*SHORT, "--load", "flask", "--path", "fastcgi", "--peer", "c-responder"], 69, "see --list"),
        ([*SHORT, "--load", "kept", "--results", "/proc/nowhere"], 69, "/proc/nowhere"),
        ([*SHORT, "--load", "kept", "--wsgi-fcgi", "/nowhere/wsgi-fcgi"], 69, "/nowhere/wsgi-fcgi is not there"),
        (["--from", "/nowhere.json"], 69, "/nowhere.json"),
        (["--from", "/proc/self/status"], 69, "is no result.json"),
    ],
)
def test_mistakes(words, status, said):
    done = run(*words)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_list_starts_nothing(tmp_path):
    done = run("--list", "--build", str(tmp_path / "none"))
    assert done.returncode == 0
    assert not (tmp_path / "none").exists()
    assert all((f": {name}: " in done.stdout) == (name in loads.USUAL) for name in loads.BY_NAME)
    assert "overload" not in done.stdout
    done = run("--list", "--build", str(tmp_path / "none"), "--load", ",".join(loads.GROUPS))
    assert all((f": {name}: " in done.stdout) == bool(load.group) for name, load in loads.BY_NAME.items())


def test_list_of_a_group(tmp_path):
    done = run("--list", "--load", "overload", "--build", str(tmp_path / "none"))
    assert done.returncode == 0
    assert all(f"{load.name}: {load.title}: " in done.stdout for load in overload.LOADS)
    assert all(peer in done.stdout for peer in overload.PEERS) and "bjoern" not in done.stdout
