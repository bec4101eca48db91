"""The loads `lock-*` and `crowd`: their arithmetic, and small ones of a running server."""
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from benchlib import crowd, crowd_report, generator, loads, lock, lock_report, peers, readme, report
from benchlib.instance import Instance
from benchlib.peers import Need, Place
from responder import HTTP_HELLO
from test_report import figure, record, sample

BUILD = Path(os.environ["FCGI_LOAD"]).resolve().parent.parent.parent
REFUSED = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def locked(load, ours, gthread, **more):
    return record({"http": {load: {"wsgi-fcgi": ours, "gunicorn-gthread": gthread, **more}}})


def crowded(p99, alone, begun=1000, lost=0, **more):
    rss = {"alone": 10 << 20, "readers": 60 << 20, "idle": 61 << 20, "all": 70 << 20}
    return sample(500, p99_us=p99, alone={"p50_us": 50, "p99_us": alone},
                  crowd={"begun": begun, "lost": lost, "idle_lost": False, "sleeping_wrong": 0, "rss": rss, **more})  # fmt: skip


# --- arithmetic


@pytest.mark.parametrize("part,value", [(0.5, 2), (0.9, 4), (0.25, 1), (0.26, 2), (0, 1), (1, 4)])
def test_quantile_is_the_least_value_at_or_below_which_so_many_lie(part, value):
    assert lock.quantile([4, 2, 1, 3], part) == value


@pytest.mark.parametrize("load,key,words,ours,met", [
    ("lock-behind", "p50_us", "4 ms behind", 100, True), ("lock-behind", "p50_us", "4 ms behind", 101, False),
    ("lock-hash4", "rps", "pbkdf2, 4 clients", 100, True), ("lock-hash4", "rps", "pbkdf2, 4 clients", 99, False),
    ("lock-beside-hash16", "p99_us", "beside 16 clients", 100, True),
    ("lock-beside-hash16", "p99_us", "beside 16 clients", 101, False),
])  # fmt: skip
def test_targets_of_the_lock_are_ratios_to_gthread(load, key, words, ours, met):
    found = figure(locked(load, [sample(1) | {key: ours}], [sample(1) | {key: 100}]), words)
    assert (found.measured, found.met) == (ours / 100, met)


def test_lock_table_has_medians_and_median_ratios():
    """Of a round of which one side failed there is no ratio."""
    ours = [sample(100), sample(50), sample(90)]
    theirs = [sample(50), {"failed": "x"}, sample(30)]
    data = locked("lock-hash4", ours, theirs, granian=[{"failed": "x"}] * 3)
    (row,) = [lock_report.cells(report.Results(data), row) for row in lock_report.measured(report.Results(data))]
    assert row[1:] == ["90", "40", "-", "-", "2.5", "-", "-"]
    text = report.text(data)
    assert "The interpreter lock" in text and "4 ms behind" not in text
    assert "| 10 ms of pbkdf2, 4 clients, /s | 90 | 40 (2.5) | - (-) | - (-) |" in readme.group_blocks(data)["lock"]


def test_rate_of_the_others_is_in_the_table():
    data = locked("lock-beside-hash1", [sample(67, company_rps=130)], [sample(67, company_rps=65)])
    rows = [lock_report.cells(report.Results(data), row) for row in lock_report.measured(report.Results(data))]
    assert [row[1] for row in rows] == ["0.1", "0.2", "130"]
    assert rows[2][5] == "2"


def test_crowd_is_compared_with_quick_requests_alone_in_the_same_round():
    data = record({"fastcgi": {"crowd": {"wsgi-fcgi": [crowded(100, 50), crowded(90, 90), crowded(1000, 250)]}}})
    found = figure(data, "FastCGI: quick requests' p99")
    assert (found.values, found.measured, found.met) == ([2, 1, 4], 2, True)
    (row,) = crowd_report.rows(data)
    cells = dict(zip(crowd_report.HEADER, row))
    assert cells["memory with it, MiB"] == "70"
    assert cells["added, MiB"] == "60.0"
    assert cells["added per slow reader, KiB"] == "51.2"  # 50 MiB of 1000
    assert cells["p99 beside / alone"] == "2.00"


def test_readers_that_are_lost_miss_the_target():
    data = record({"http": {"crowd": {"wsgi-fcgi": [crowded(1, 1, begun=990, lost=11)]}}})
    assert not figure(data, "HTTP: slow readers").met
    data = record({"http": {"crowd": {"wsgi-fcgi": [crowded(1, 1, idle_lost=True)]}}})
    assert not figure(data, "HTTP: idle connections").met
    # Those of others are told, and are no mistake of this server's.
    data = record({"http": {"crowd": {"granian": [crowded(1, 1, lost=1000)], "uwsgi": [{"failed": "x"}]}}})
    assert not report.figures(data)
    assert [row[:2] for row in crowd_report.rows(data)] == [["granian, HTTP", "0.05"], ["uwsgi, HTTP", "FAILED"]]


# --- blocks of the README


def test_blocks_of_groups_leave_all_else_alone():
    data = locked("lock-hash4", [sample(90)], [sample(30)])
    assert list(readme.group_blocks(data)) == ["lock"] and not readme.is_usual(data)
    assert readme.is_usual(record({"http": {"kept": {"wsgi-fcgi": [sample(1)]}}}))
    page = "\n".join([readme.BEGIN, "main", readme.END, *readme.marks("lock"), *readme.marks("crowd"), "end"])
    block = readme.group_blocks(data)["lock"]
    once = readme.rewrite(page, block, readme.marks("lock"))
    assert once == page.replace("\n".join(readme.marks("lock")), block)
    assert readme.rewrite(once, block, readme.marks("lock")) == once
    assert "at least 1 |" in block and "P, 2 CPUs" in block
    with pytest.raises(ValueError):
        readme.rewrite(page, block, readme.marks("none"))


def test_main_block_has_no_figures_of_groups():
    data = record({"nginx": {"kept": {"wsgi-fcgi": [sample(100)], "uwsgi": [sample(50)]}},
                   "http": {"crowd": {"wsgi-fcgi": [crowded(1, 1)]}}})  # fmt: skip
    assert "behind nginx: requests/s" in readme.block(data, None)
    assert "crowd" not in readme.block(data, None)


def test_readme_has_the_blocks():
    page = (Path(peers.__file__).parent.parent / "README.md").read_text()
    for group in report.groups():
        assert readme.rewrite(page, "new", readme.marks(group.NAME)) != page


# --- which loads, and how servers are started


def test_groups_are_asked_for_by_their_name():
    assert loads.expand("crowd,kept") == "crowd,kept"
    assert loads.expand("lock") == ",".join(load.name for load in loads.LOCK)
    assert loads.expand("lock-hash1,memory") == "lock-hash1,memory"
    assert not [name for name in loads.USUAL if name.startswith(("lock", "crowd"))]
    assert "kept" in loads.USUAL and "memory" in loads.USUAL


THREADS = {"wsgi-fcgi": "--threads", "gunicorn-gthread": "--threads", "granian": "--blocking-threads", "uwsgi": "--threads"}
PROCESSES = {"gunicorn-gthread": "--workers", "granian": "--workers", "uwsgi": "--processes"}


@pytest.mark.parametrize("readers", [0, 1000])
def test_peers_have_one_process_with_as_many_threads(readers):
    tools = peers.Tools(build=Path("/b"), venv=Path("/v"), server=Path("/w"), cpus=4, backlog=128)
    chosen = [peer for peer in peers.make(tools, http=True) if peer.name in loads.THREADED]
    assert len(chosen) == 4
    for peer in chosen:
        command = peer.command(Place("http", port=1), Need(threads=32, readers=readers), Path("/d"))
        # wsgi-fcgi does not count calls that wait for their peer.
        wanted = 32 if peer.name == "wsgi-fcgi" else 32 + readers
        assert command[command.index(THREADS[peer.name]) + 1] == str(wanted)
        if peer.name in PROCESSES:
            assert command[command.index(PROCESSES[peer.name]) + 1] == "1"


def test_calibration_finds_some_rounds():
    assert 1000 < lock.calibrate(sys.executable) < 10_000_000


# --- measuring


def test_quick_request_is_sent_while_the_login_is_in_work(responder):
    """The login is answered when the quick request has been, whose time is therefore not the login's."""
    quick_answered, order = threading.Event(), []

    def answer(request):
        if request.connection is server.requests[0].connection:
            order.append("login")
            assert quick_answered.wait(30)
            quick_answered.clear()
            return HTTP_HELLO
        order.append("quick")
        request.connection.send(REFUSED if request.number == 1 else HTTP_HELLO)
        quick_answered.set()
        return None

    server = responder(answer, http=True)
    place = Place("http", socket=server.path)
    login, quick = lock.Client(place, "/login"), lock.Client(place, "/")
    times, refused = lock.ask_pairs(login, quick, 0)
    login.close()
    quick.close()
    assert order == ["login", "quick"] * (lock.UNCOUNTED + lock.PAIRS_MIN)
    assert len(times) == lock.PAIRS_MIN
    assert refused == 1


@pytest.fixture
def server(tmp_path_factory):
    """A running wsgi-fcgi by FastCGI, and a generator for short samples."""
    directory = tmp_path_factory.mktemp("s")
    tools = peers.Tools(build=BUILD, venv=Path("/none"), server=BUILD / "wsgi-fcgi", cpus=2, backlog=128)
    load = generator.Generator(os.environ["FCGI_LOAD"], 0.1, 0.1, 1000)
    place = Place("fastcgi", socket=str(directory / "sock"))
    started = []

    def start(need):
        started.append(Instance(peers.WsgiFcgi(tools, False), place, place, need, directory, {"BENCH_ROUNDS": "1000"}))
        started[-1].wait_ready(load)
        return started[-1], load

    yield start
    for instance in started:
        instance.stop()


@pytest.fixture
def small(monkeypatch):
    for name, value in (("READERS", 40), ("IDLE", 30), ("RESTING", 5), ("READ_RATE", 1000)):
        monkeypatch.setattr(crowd, name, value)


def test_a_small_crowd(server, small):
    instance, load = server(Need(threads=16, readers=40))
    found = load.measure(instance, loads.BY_NAME["crowd"], way=crowd.measure)
    assert found["crowd"] | {"bytes": 0, "reading_seconds": 0, "rss": {}} == {
        "begun": 40, "lost": 0, "whole": 0, "bytes": 0, "reading_seconds": 0, "idle_lost": False, "sleeping_wrong": 0,
        "rss": {}}  # fmt: skip
    assert found["crowd"]["bytes"] > 0
    assert found["crowd"]["rss"]["all"] >= found["crowd"]["rss"]["alone"] > 0
    assert found["alone"]["p99_us"] > 0 and found["p99_us"] > 0
    assert found["threads"] >= 40
    assert not any(found[key] for key in ("errors", "not200", "bad_length"))


def test_a_crowd_that_is_refused(server, small):
    """This application neither streams nor sleeps."""
    instance, load = server(Need(application="lock_app:application", threads=16))
    found = load.measure(instance, loads.BY_NAME["crowd"], way=crowd.measure)
    assert (found["crowd"]["begun"], found["crowd"]["lost"]) == (0, 40)
    assert found["crowd"]["sleeping_wrong"] > 0
    assert not any(found[key] for key in ("errors", "not200", "bad_length"))


def test_a_crowd_that_does_not_come(server, monkeypatch):
    """What the generator says of it is handed on."""
    monkeypatch.setattr(crowd, "READERS", 0)
    instance, load = server(Need())
    with pytest.raises(generator.LoadFailed, match="a part of the crowd did not come: fcgi-load: --slow"):
        load.measure(instance, loads.BY_NAME["crowd"], way=crowd.measure)


def test_quick_requests_in_company(server):
    instance, load = server(Need(application="lock_app:application", threads=8))
    found = load.measure(instance, loads.BY_NAME["lock-beside-hash1"], way=lock.measure_company)
    assert found["company_rps"] > 0
    assert found["requests"] > 0
    assert not any(found[key] for key in ("errors", "not200", "bad_length"))
    found = load.measure(instance, replace(loads.BY_NAME["lock-beside-hash1"], company=("/none", 1)), way=lock.measure_company)
    assert found["not200"] > 0
    for uri in ("/login", "/hash", "/zlib", "/mix", "/python5", "/python50"):
        assert load.ask(instance.asked, uri) == b"Hello, world\n"

