"""Overload: what is offered, and what is said of what became of it."""
import json

import pytest
from benchlib import overload, overload_report, plots, readme, report
from test_report import record

US, THEM = "wsgi-fcgi", "uwsgi"
SLOW = overload.BY_NAME["overload-slow"]


def offered(factor, good=0, **more):
    """A sample of 2 s. `good` answers came within both limits."""
    due = more.pop("due", int(2 * 300 * (factor or 1)))
    names = ("refused", "given_up", "unsent", "unreachable")
    counts = {name: more.pop(name, 0) for name in names}
    return {"factor": factor, "clients": 1000, "rate": 300 * (factor or 1), "extra": False, "seconds": 2.0, "due": due,
            "due_all": due, "good": good, "within_1s": good // 2, "within_2s": good, "errors": 0, "not200": 0,
            "bad_length": 0, "unanswered": 0, "p50_us": 120000.0, "refused_p50_us": 1500000.0, "lag_p99_us": 10.0, **counts,
            **{f"{name}_all": count for name, count in counts.items()}, **more}


def one_round(*points, capacity=300):
    return {"capacity": capacity, "points": list(points)}


def of(by_peer, load="overload-slow", rounds=1):
    return {**record({}), "rounds": rounds, "overload": {"http": {load: by_peer}}}


def figure(data, words):
    found = [f for f in report.figures(data) if words in f.title]
    assert len(found) == 1, found
    return found[0]


def cells(data, load="overload-slow"):
    """By offered factor and peer: the row, by column; a column of the same name keeps its first."""
    names = {title: peer for peer, title in overload_report.TITLES.items()}
    out = {}
    for which in overload_report.keys(data, "http", load):
        for peer in data["overload"]["http"][load]:
            line = overload_report.row(data, "http", load, peer, which)
            assert len(line) == len(overload_report.COLUMNS)
            out[which, names[line[2]]] = dict(zip(overload_report.COLUMNS, line))
    return out


# --- what is offered

def test_points_are_multiples_of_the_capacity():
    found = overload.points(SLOW, 310)
    assert [point.factor for point in found] == list(overload.FACTORS)
    assert [point.rate for point in found] == [pytest.approx(310 * factor) for factor in overload.FACTORS]
    assert [point.warm_up for point in found] == [0.5, 0.5, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("rate,connections", [(10, 1000), (500, 1000), (1500, 3000), (4999, 9998), (200000, 10000)])
def test_as_many_connections_as_can_wait(rate, connections):
    assert overload.connections(rate) == connections


def test_more_or_less_connections_are_points_of_their_own():
    fast = overload.points(overload.BY_NAME["overload-fast"], 10000)
    assert [(point.factor, point.clients) for point in fast if point.extra] == [(1.5, 10), (1.5, 100), (1.5, 1000)]
    assert [point.clients for point in fast if point.factor == 1.5 and not point.extra] == [10000]


class Here:
    """An instance that is never started."""

    asked = place = type("Place", (), {"address": "127.0.0.1:1", "protocol": "http"})()
    peer = type("Peer", (), {"keeps": lambda self, protocol: True})()


def words(load, factor, capacity):
    from benchlib.generator import Generator

    where = overload.point(load, factor, capacity) if factor else overload.points(load, None)[0]
    return " ".join(overload.command(Generator("fcgi-load", 2, 0.5, 1000), Here(), load, where, capacity))


def test_an_overload_begins_with_a_surge_that_outlasts_patience():
    assert overload.SURGE > overload.PATIENCE
    assert "--burst 750" in words(SLOW, 1.5, 300)
    assert "--burst 10000" in words(SLOW, 1.5, 50000)  # no more than can ask at once
    assert "--burst" not in words(SLOW, 0.95, 300)


def test_commands():
    slow = words(SLOW, 3, 300)
    assert "--uri /sleep100" in slow and "--rate 900.00" in slow and "--patience 2 " in slow and "--keep" in slow
    assert "--within 1 --within 2" in slow
    burst = words(overload.BY_NAME["burst"], None, None)
    assert "--clients 5000" in burst and "--burst 5000 --every 2" in burst and "--rate" not in burst


# --- what is said of it

def test_goodput_is_a_part_of_the_capacity_of_the_same_round():
    data = of({US: [one_round(offered(1.5, 600)), one_round(offered(1.5, 300), capacity=150)],
               THEM: [one_round(offered(1.5, 60)), one_round(offered(1.5, 60))]}, rounds=2)
    ours, theirs = cells(data)[(1.5, None), US], cells(data)[(1.5, None), THEM]
    assert (ours["offered"], ours["connections"]) == ("1.5 x", "1000")
    assert (ours["2 s %"], ours["1 s %"]) == ("100.0", "50.0")
    assert ours["2 s /s"] == "225"  # of 300 and 150
    assert ours["ratio"] == "1.00"
    assert theirs["ratio"] == "0.15"  # of 0.1 and 0.2
    assert theirs["2 s %"] == "10.0"


def test_what_becomes_of_the_others():
    point = offered(2, 300, due=1000, refused=500, given_up=100, unsent=100)
    row = cells(of({US: [one_round(point)]}))[(2, None), US]
    assert (row["refused %"], row["no answer %"], row["503 ms"], row["p50 ms"]) == ("50.0", "20.0", "1500.0", "120.0")


def test_target_is_the_worst_factor_above_the_capacity():
    def worst(*points):
        return figure(of({US: [one_round(*points)]}), "answered within")

    assert worst(offered(0.5, 300), offered(1.5, 590), offered(10, 570)).measured == pytest.approx(95)
    assert worst(offered(1.5, 590), offered(10, 570)).met
    assert not worst(offered(1.5, 569), offered(10, 600)).met
    extra = {**offered(1.5, 0), "extra": True, "clients": 10}
    assert worst(offered(1.5, 600), extra, {**offered(10), "beyond": 1}, {"failed": "x", **offered(3)}).measured == 100


def test_nobody_is_refused_below_the_capacity():
    def refused(*points):
        return figure(of({US: [one_round(*points)]}), "refused below")

    assert refused(offered(0.5, 300), offered(1.5, 1, refused=7)).met
    assert refused(offered(0.5, refused=1), offered(0.95, refused=2)).measured == 3
    assert not refused(offered(0.95, refused=1)).met


def test_time_to_a_503_where_nothing_can_be_answered():
    load = overload.BY_NAME["overload-all-stuck"]
    quick = figure(of({US: [one_round(offered(None, refused=5), capacity=None)]}, load.name), "a 503 comes after")
    assert (quick.measured, quick.met) == (1.5, True)
    never = figure(of({US: [one_round(offered(None), capacity=None)]}, load.name), "a 503 comes after")
    assert (never.measured, never.met) == (load.patience, False)


def test_burst():
    point = offered(None, due=15000, refused=3, given_up=2, unanswered=10)
    data = of({US: [one_round(point, capacity=None)]}, "burst")
    assert figure(data, "at once").measured == 5
    assert cells(data, "burst")[(None, None), US]["no answer %"] == f"{100 * 12 / 15000:.1f}"


def test_failures_and_wrong_answers_of_others():
    """That others break in overload is shown, and is no failure of the run; that wsgi-fcgi does is."""
    data = of({US: [one_round(offered(1.5, 600))], THEM: [one_round(offered(1.5, 60, errors=5))]})
    assert report.count_wrong(data) == (0, 0)
    assert cells(data)[(1.5, None), THEM]["wrong"] == "5"
    assert report.passed(data)
    data["overload"]["http"]["overload-slow"][US][0]["points"][0]["errors"] = 4
    assert report.count_wrong(data) == (4, 0)
    failed = of({US: [one_round(offered(1.5, 600), {"factor": 2, "clients": 1, "extra": False, "failed": "it ended"})],
                 THEM: [{"capacity": None, "points": [], "failed": "cannot start"}]})
    assert report.count_wrong(failed) == (0, 2)
    assert "uWSGI: FAILED" in report.text(failed)
    assert not report.passed(failed)


def test_what_the_generator_cannot_offer_is_not_judged():
    data = of({US: [one_round(offered(1.5, 600), {"factor": 10, "clients": 1, "extra": False, "beyond": 1})]})
    assert cells(data)[(10, None), US][""] == "not offered"
    assert "not offered" in report.text(data)
    assert report.passed(data)


def test_the_generator_tells_when_it_was_late():
    data = of({US: [one_round(offered(1.5, 600, lag_p99_us=80000.0))]})
    assert "the generator was late by up to 80 ms" in report.text(data)


def test_text_without_overload_is_as_it_was():
    assert overload_report.text(record({}), report.table) == []
    assert report.overload_figures(record({})) == []


# --- the README and the plot

def test_block_of_the_readme():
    data = of({US: [one_round(offered(0.5, 300), offered(1.5, 600, refused=90))], THEM: [one_round(offered(0.5, 150))]})
    block = readme.overload_block(data, "plot.svg")
    text = f"a\n{readme.BEGIN}\nkept\n{readme.END}\nb\n{overload_report.BEGIN}\nold\n{overload_report.END}\nc\n"
    once = readme.rewrite(text, block, (overload_report.BEGIN, overload_report.END))
    assert "old" not in once and "kept" in once and once.endswith(overload_report.END + "\nc\n")
    assert "(plot.svg)" in once
    assert "| 0.5 x | **50 %** in 120 ms | **25 %** in 120 ms |" in once
    assert "| 1.5 x | **100 %** in 120 ms, 10 % refused | failed |" in once
    assert "capacity: wsgi-fcgi 300/s; uWSGI 300/s" in once
    assert "| at least 95 |" in once


def test_curve_of_the_plot(tmp_path):
    extra = {**offered(1.5, 6), "extra": True, "clients": 10}
    data = of({US: [one_round(offered(0.5, 300), offered(1.5, 540), extra)]})
    assert overload_report.curve(data, "http", "overload-slow", US) == [(0.5, 50), (1.5, 90)]
    pytest.importorskip("matplotlib")
    assert [path.name for path in plots.draw(data, tmp_path)] == ["overload-http.svg"]


def test_json_holds_all_of_it():
    data = of({US: [one_round(offered(1.5, 600))]})
    assert json.loads(report.to_json(data)) == data


def test_text_of_everything_there_can_be():
    rounds = {}
    for load in overload.LOADS:
        points = [{**offered(where.factor, 10), **where.key()} for where in overload.points(load, 300)]
        rounds[load.name] = {peer: [one_round(*points, capacity=300 if load.factors else None)] for peer in overload.PEERS}
    data = {**record({}), "overload": {"http": rounds}}
    text, block = report.text(data), readme.overload_block(data, None)
    assert all(load.title in text and load.title in block for load in overload.LOADS)
    assert "1.5 x, 100 connections" in block
