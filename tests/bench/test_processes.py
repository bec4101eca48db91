"""The loads `processes-*`: their arithmetic, and how many processes every server is told to have."""

from pathlib import Path

import pytest
from benchlib import loads, peers, processes_report, readme, report
from benchlib.peers import Need, Place
from test_report import figure, record, sample

MIB = 1 << 20


def hello(load, **rounds):
    return record({"nginx": {load: {name.replace("_", "-"): values for name, values in rounds.items()}}})


def memory(mebibytes):
    return sample(1) | {"memory": {"after": {"pss": mebibytes * MIB}}}


def test_ours_is_compared_with_the_best_of_each_round():
    data = hello("processes-flask", wsgi_fcgi_workers=[sample(110), sample(90)], uwsgi=[sample(100), sample(30)],
                 bjoern=[sample(50), sample(60)], granian=[{"failed": "x"}, sample(90)])  # fmt: skip
    found = figure(data, "Flask behind nginx")
    assert found.values == [1.1, 1.0]
    assert not found.met
    assert figure(hello("processes-django", wsgi_fcgi_workers=[sample(110)], pyvoy=[sample(100)]), "Django behind").met


def test_nothing_is_compared_with_nobody():
    alone = hello("processes-flask", wsgi_fcgi_workers=[sample(110)])
    assert not [one for one in report.figures(alone) if "Flask" in one.title]
    assert not report.figures(hello("processes-flask", uwsgi=[sample(100)]))


@pytest.mark.parametrize("four,met", [(16, True), (17, False)])
def test_memory_of_four_is_compared_with_that_of_one(four, met):
    data = record({"nginx": {"processes-django-one": {"wsgi-fcgi-workers": [memory(10)]},
                             "processes-django-four": {"wsgi-fcgi-workers": [memory(four)]}}})  # fmt: skip
    found = figure(data, "four preloaded")
    assert (found.values, found.met) == ([four / 10], met)
    (row,) = processes_report.hello_rows(report.Results(data))
    assert row[-3:] == ["10", str(four), f"{four / 10:.2f}"]


@pytest.mark.parametrize("path", ["http", "fastcgi", "nginx"])
def test_quick_requests_beside_a_computing_call_have_a_target_on_every_path(path):
    data = record({path: {"processes-level": {"wsgi-fcgi-workers": [sample(2000, p99_us=1501)],
                                              "granian": [sample(2000, p99_us=54000, company_rps=19)]}}})  # fmt: skip
    found = [one for one in report.figures(data) if "computing call" in one.title]
    assert [(one.measured, one.met) for one in found] == [(1.501, False)]
    rows = processes_report.level_rows(report.Results(data))
    assert [row[0].split(",")[0] for row in rows] == ["wsgi-fcgi-workers", "granian"]
    assert rows[1][2] == "54.00"


def test_block_and_table():
    data = record({
        "nginx": {"processes-flask": {"wsgi-fcgi-workers": [sample(1234)], "pyvoy": [{"failed": "x"}]}},
        "http": {"processes-level": {"wsgi-fcgi-workers": [sample(2000)]}},
    })  # fmt: skip
    block = readme.group_blocks(data)["processes"]
    assert "| wsgi-fcgi-workers | 1,234 |" in block and "**Quick requests to two processes" in block
    assert "pyvoy" not in block, "what could not be measured has no figures"
    assert "Frameworks behind nginx" in report.text(data)


def test_loads_are_asked_for_by_the_name_of_the_group():
    assert loads.expand("processes") == ",".join(load.name for load in loads.PROCESSES)
    assert not [name for name in loads.USUAL if name.startswith("processes")]


OPTION = {"wsgi-fcgi-workers": "--workers", "gunicorn-gthread": "--workers", "granian": "--workers", "uwsgi": "--processes"}


@pytest.mark.parametrize("each", [1, 3])
def test_every_peer_has_as_many_processes_as_the_load_says(each):
    tools = peers.Tools(build=Path("/b"), venv=Path("/v"), server=Path("/w"), cpus=4, backlog=128)
    chosen = {peer.name: peer for peer in peers.make(tools, http=True) if peer.name in loads.SEVERAL}
    assert sorted(chosen) == sorted(loads.SEVERAL)
    commands = {name: peer.command(Place("http", port=1), Need(each=each, preload=True), Path("/d"))
                for name, peer in chosen.items()}  # fmt: skip
    for name, option in OPTION.items():
        assert commands[name][commands[name].index(option) + 1] == str(each)
    assert commands["bjoern"][-2] == commands["fastwsgi"][-2] == str(each)
    assert f"for i in {' '.join(map(str, range(each)))};" in commands["pyvoy"][-1]
    assert [name for name, command in commands.items() if "--preload" in command] == ["wsgi-fcgi-workers", "gunicorn-gthread"]


def test_workers_are_measured_in_their_groups_only():
    tools = peers.Tools(build=Path("/b"), venv=Path("/v"), server=Path("/w"), cpus=4, backlog=128)
    (workers,) = (peer for peer in peers.make(tools, http=True) if peer.name == loads.WORKERS)
    part = {load.group for load in loads.LOADS for path in loads.ALL if loads.takes_part(load, workers, path)}
    assert part == {"processes", "deadlines"}


def test_who_does_not_close_results_is_shown_and_counts_in_no_ratio():
    data = hello("processes-django", wsgi_fcgi_module=[sample(110, cpu_us=80)], wsgi_fcgi_workers=[sample(100, cpu_us=100)],
                 bjoern=[sample(100)], fastwsgi=[sample(500)])  # fmt: skip
    assert figure(data, "Django behind nginx, a process for each processor: requests/s, wsgi-fcgi-module").values == [1.1]
    assert [row[0] for row in processes_report.hello_rows(report.Results(data))][-1] == "fastwsgi"
    assert figure(data, "Django behind nginx: CPU per request, the module").values == [0.8]


@pytest.mark.parametrize("form", list(peers.FORMS))
def test_other_forms_are_built_below_the_program(form):
    tools = peers.Tools(build=Path("/b"), venv=Path("/v"), server=Path("/w"), cpus=4, backlog=128)
    (peer,) = (peer for peer in peers.make(tools, http=True) if peer.name == f"wsgi-fcgi-{form}")
    assert peer.command(Place("http", port=1), Need(each=1), Path("/d"))[0] == f"/b/{form}/wsgi-fcgi"
