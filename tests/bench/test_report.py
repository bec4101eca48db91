"""The report says what was measured: medians, ratios, targets, and what is missing."""
import copy
import json

import pytest
from benchlib import generator, loads, plots, readme, report


def sample(rps, cpu_us=10.0, **more):
    memory = {"idle": {"rss": 1 << 20, "pss": 1 << 19}, "loaded": {"rss": 3 << 20},
              "after": {"rss": 2 << 20, "pss": 1 << 20}}
    return {"requests": rps, "rps": rps, "cpu_us": cpu_us, "p50_us": 100, "p99_us": 200, "p999_us": 300, "threads": 2,
            "errors": 0, "not200": 0, "bad_length": 0, "startup_ms": 25, "memory": memory, **more}


def record(samples, memory=None):
    machine = {"processor": "P", "cpus": 2, "memory_mib": 1, "system": "S", "kernel": "K", "load_average": 0.5}
    return {"date": "2026-01-02T03:04:05Z", "machine": machine, "versions": {}, "pythons": {}, "commands": {},
            "memos": {}, "nginx_command": [], "rounds": 3, "seconds": 2, "rate": 1000, "processes": "p",
            "samples": samples, "memory": memory or {}, "notes": []}


def kept(ours, theirs, path="nginx", peer="uwsgi"):
    return record({path: {"kept": {"wsgi-fcgi": ours, peer: theirs}}})


def figure(of, words):
    found = [f for f in report.figures(of) if words in f.title]
    assert len(found) == 1, found
    return found[0]


def rows(of):
    """The table's cells by peer and column; a column of the same name keeps its first."""
    out = {}
    for line in report.load_rows(report.Results(of), "nginx", "kept"):
        out[line[0]] = dict(reversed(list(zip(report.COLUMNS, line))))
    return out


def test_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_the_medians():
    """Interleaved rounds: a slow while touches both."""
    data = kept([sample(100), sample(10), sample(90)], [sample(50), sample(20), sample(30)])
    assert figure(data, "behind nginx: requests/s").values == [2, 0.5, 3]
    assert figure(data, "behind nginx: requests/s").measured == 2
    assert rows(data)["uwsgi"]["ratio"] == "0.50"  # of 0.5, 2, 0.33
    assert rows(data)["wsgi-fcgi"]["ratio"] == "1.00"


def test_table_has_medians_and_spreads():
    row = rows(kept([sample(100, 4.0), sample(300, 6.0), sample(200, 5.5)], [sample(1)]))["wsgi-fcgi"]
    assert row["requests/s"] == "200"
    assert row["spread"] == "100..300"
    assert row["CPU us"] == "5.5"
    assert (row["MiB idle"], row["loaded"], row["after"], row["(PSS)"]) == ("1.0", "3.0", "2.0", "1.0")
    assert (row["p50 ms"], row["p99 ms"], row["p99.9 ms"]) == ("0.10", "0.20", "0.30")
    assert row["start ms"] == "25"
    assert row["wrong"] == "0"


def test_failed_sample_is_shown_and_spoils_no_figure():
    data = kept([sample(100), {"failed": "it ended"}, sample(300)], [sample(50), sample(1), sample(100)])
    assert figure(data, "behind nginx: requests/s").values == [2, 3]
    assert rows(data)["wsgi-fcgi"]["wrong"] == "0, 1 of 3 FAILED"
    assert report.count_wrong(data) == (0, 1)
    assert not report.passed(data)


def test_peer_that_never_worked_keeps_its_row():
    data = kept([sample(100)], [{"failed": "cannot start"}])
    assert rows(data)["uwsgi"]["wrong"] == "FAILED"
    assert "FAILED" in report.text(data)
    assert not [f for f in report.figures(data) if "behind nginx" in f.title]
    assert not report.passed(data)


def test_wrong_answers_are_counted_and_fail_the_run():
    data = kept([sample(100)], [sample(50, 30.0, errors=2, not200=3, bad_length=4)])
    assert report.count_wrong(data) == (9, 0)
    assert rows(data)["uwsgi"]["wrong"] == "9"
    assert figure(data, "behind nginx: requests/s").met
    assert not report.passed(data)
    assert report.passed(kept([sample(100)], [sample(50, 30.0)]))


@pytest.mark.parametrize("ours,met", [(150, True), (151, True), (149, False)])
def test_target_at_least(ours, met):
    found = figure(kept([sample(ours)], [sample(100)]), "behind nginx: requests/s")
    assert (found.least, found.target, found.met) == (True, 1.5, met)


@pytest.mark.parametrize("ours,met", [(4, True), (4.1, False)])
def test_target_at_most(ours, met):
    data = kept([sample(100, ours)], [sample(50, 10)])
    found = figure(data, "behind nginx: CPU per request")
    assert (found.least, found.target, found.met) == (False, 0.4, met)
    assert ("MISSED" in report.text(data)) == (not met)


def test_requests_per_cpu_second_is_turned_round():
    """Ten times the requests for a second of CPU is a tenth of the CPU for a request."""
    data = kept([sample(1, 3.0)], [sample(1, 30.0)], peer="gunicorn-gthread")
    assert figure(data, "requests per CPU second, wsgi-fcgi / gunicorn").measured == pytest.approx(10)


def test_processor_time_of_nothing_gives_no_ratio():
    data = kept([sample(100, 0.0)], [sample(50, 10.0)])
    assert rows(data)["uwsgi"]["CPU us"] == "10.0"
    assert report.Results(data).ratios("nginx", "kept", "uwsgi", "cpu_us") == []


def test_http_is_compared_with_fastcgi_while_there_is_no_http():
    samples = {"fastcgi": {"kept": {"wsgi-fcgi": [sample(100)]}}, "http": {"kept": {"granian": [sample(50)]}}}
    results = report.Results(record(samples))
    assert results.ratios("http", "kept", "granian", "rps") == [0.5]
    samples["http"]["kept"]["wsgi-fcgi"] = [sample(200)]
    assert results.ratios("http", "kept", "granian", "rps") == [0.25]


def test_targets_of_http():
    data = kept([sample(100, 10.0)], [sample(100, 12.0)], "http", "granian")
    found = {f.title.rpartition("HTTP, kept: ")[2]: f for f in report.figures(data) if f.title.startswith("HTTP")}
    assert found["requests per CPU second, wsgi-fcgi / granian"].measured == pytest.approx(1.2)
    assert not found["requests per CPU second, wsgi-fcgi / granian"].met
    assert found["memory, wsgi-fcgi / granian (PSS)"].met


def test_memory_of_a_blocked_request():
    grown = sample(950)
    grown["memory"]["loaded"]["rss"] = grown["memory"]["idle"]["rss"] + loads.MANY * 64 * 1024
    data = record({"fastcgi": {"sleep1s": {"wsgi-fcgi": [grown]}}})
    found = figure(data, "per blocked request")
    assert (found.measured, found.met) == (64, True)
    assert figure(data, "1,000 clients: rate").met


def test_ideal_rates():
    assert loads.BY_NAME["sleep50"].ideal == 1280
    assert loads.BY_NAME["sleep50x1000"].ideal == 20000
    assert loads.BY_NAME["sleep1s"].ideal == 1000
    data = record({"fastcgi": {"sleep50x1000": {"wsgi-fcgi": [sample(16000)]}}})
    assert figure(data, "50 ms, 1,000 clients").measured == pytest.approx(80)


def test_whole_waves_are_counted():
    """1,000 clients of a handler that sleeps 1 s answer in waves: half a second more or less would change the rate."""
    load = loads.BY_NAME["sleep1s"]
    assert generator.Generator("x", 0.2, 0.1, 1000).times(load) == (3, 6)
    assert generator.Generator("x", 6.5, 5, 1000).times(load) == (5, 7)
    assert generator.Generator("x", 0.2, 0.1, 1000).times(loads.BY_NAME["kept"]) == (0.1, 0.2)


def test_memory_figures():
    memory = {"wsgi-fcgi": {"rss": 12 << 20}, "pybase": {"rss": 10 << 20},
              "idle": {"before": {"rss": 12 << 20}, "after": {"rss": 13 << 20}, "errors": 1}}
    data = record({}, memory)
    assert [f.measured for f in report.figures(data)] == [2, 1]
    assert report.count_wrong(data) == (1, 0)


def test_quantiles_of_a_histogram():
    """What the latency plot shows: the part of the requests that took longer."""
    merged = plots.merge([{"histogram": [[1000, 8], [5000, 1]]}, {"histogram": [[1000, 1]]}, {}])
    assert merged == [(1000, 9), (5000, 1)]
    assert plots.quantiles(merged) == [(0.1, 1.0), (0.0, 5.0)]


def test_json_is_the_record_with_a_line_for_each_histogram():
    data = kept([sample(100, histogram=[[1.5, 2], [3.5, 1]])], [sample(50, histogram=[])])
    text = report.to_json(data)
    assert json.loads(text) == data
    assert text.count('"histogram": [[1.5, 2], [3.5, 1]]') == 1


def test_readme_block_is_replaced_and_nothing_else():
    data = kept([sample(123456, 4.0)], [sample(50000, 20.0)])
    block = readme.block(data, "plot.svg")
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    once = readme.rewrite(text, block)
    assert once.startswith("before\n" + readme.BEGIN) and once.endswith(readme.END + "\nafter\n")
    assert "old" not in once
    assert readme.rewrite(once, block) == once
    assert "(plot.svg)" in once
    assert "| behind nginx: wsgi-fcgi | 123,000 | 4.0 us |" in once
    assert "| behind nginx: uWSGI | 50,000 | 20.0 us |" in once
    with pytest.raises(ValueError):
        readme.rewrite("no block", block)


def test_summary_for_the_readme():
    data = kept([sample(123456, 4.0)], [sample(50000, 20.0)])
    text = readme.summary(data, "plot.svg")
    assert text.startswith(readme.BEGIN) and text.endswith(readme.END) and "(plot.svg)" in text
    assert "- CPU per hello behind nginx: wsgi-fcgi 4.0 us, uWSGI 20.0 us." in text
    assert "sleeps" not in text


def test_readme_says_what_was_missed():
    data = kept([sample(100, 10.0)], [sample(100, 10.0)])
    assert "| 1 x | at least 1.5 (missed) |" in readme.block(data, None)


@pytest.mark.parametrize("value,shown", [(9.4, "9"), (123.4, "123"), (1234, "1,230"), (123456, "123,000"), (99, "99")])
def test_round_figures(value, shown):
    assert readme.round_figure(value) == shown


def test_text_of_everything_there_can_be():
    """No load or path breaks the report."""
    good = sample(10, undisturbed_rps=5, sleeping_rps=1, nginx_cpu_us=3.0, unanswered=2)
    samples = {
        path: {load.name: {"wsgi-fcgi": [copy.deepcopy(good)], "granian": [{"failed": "x"}]} for load in loads.LOADS}
        for path in loads.ALL
    }
    text = report.text(record(samples))
    assert all(load.title in text for load in loads.LOADS)
    assert "11 MB/s" not in text and "10737 MB/s" in text
