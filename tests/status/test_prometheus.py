"""Both formats for Prometheus, read by its own tools; and the table of the manual page."""
import json
import os
import re
import subprocess

import prometheus_client.exposition
import prometheus_client.openmetrics.parser
import prometheus_client.parser
import pytest

SCENES = ["nothing", "shop", "hostile", "full"]
# As Prometheus 2.42 asks.
ACCEPT = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


def families(render, scene):
    answer = render(scene, ACCEPT)
    assert answer.type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("\n# EOF\n")
    return {f.name: f for f in prometheus_client.openmetrics.parser.text_string_to_metric_families(answer.text)}


@pytest.mark.parametrize("scene", SCENES)
def test_openmetrics(render, scene):
    found = families(render, scene)
    assert len(found) >= 35
    assert not [f.name for f in found.values() if not f.documentation]
    for f in found.values():
        assert f.unit == "" or f.name.endswith("_" + f.unit)
        assert f.unit or not f.name.endswith(("_seconds", "_bytes"))


@pytest.mark.parametrize("scene", SCENES)
def test_the_older_format_has_the_same(render, scene):
    answer = render(scene, "text/plain;version=0.0.4;q=1,*/*;q=0.1")
    assert answer.type == prometheus_client.exposition.CONTENT_TYPE_LATEST
    older = {s.name for f in prometheus_client.parser.text_string_to_metric_families(answer.text) for s in f.samples}
    newer = {s.name for f in families(render, scene).values() for s in f.samples}
    assert older == newer


@pytest.mark.parametrize("scene", SCENES)
def test_promtool(render, scene):
    text = render(scene, query="format=prometheus").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_values(render):
    found = families(render, "shop")
    sample = {(s.name, tuple(s.labels.values())): s.value for f in found.values() for s in f.samples}
    assert sample["wsgi_fcgi_connections_accepted_total", ("http",)] == 240
    assert sample["wsgi_fcgi_threads", ("stuck",)] == 3
    assert sample["wsgi_fcgi_workers", ("serving",)] == 2
    assert sample["wsgi_fcgi_workers_ended_total", ("crash",)] == 1
    assert sample["wsgi_fcgi_requests_queued", ()] == 19
    assert sample["wsgi_fcgi_worker_memory_bytes", ("0",)] > 100000
    buckets = [(float(s.labels["le"]), s.value) for s in found["wsgi_fcgi_request_duration_seconds"].samples if "le" in s.labels]
    assert [le for le, _ in buckets][:3] == [0.0005, 0.001, 0.0025] and [le for le, _ in buckets][-2:] == [60, float("inf")]
    assert [n for _, n in buckets] == sorted(n for _, n in buckets)
    at_all = sample["wsgi_fcgi_request_duration_seconds_count", ()]
    assert buckets[-1][1] == at_all
    # One took 14 seconds, all others less than one.
    assert dict(buckets)[10.0] == at_all - 1 and dict(buckets)[25.0] == at_all


def test_hostile_names_add_no_samples(render):
    assert not [name for name in families(render, "hostile") if "owned" in name]


def test_json_has_the_same_names(render):
    found, totals = families(render, "shop"), json.loads(render("shop", query="format=json").text)
    named = {"wsgi_fcgi_" + name.removesuffix("_total") for name in [*totals["totals"], *totals["histograms"]]}
    of_workers = {f.name for f in found.values() if {"worker"} & {label for s in f.samples for label in s.labels}}
    assert named == set(found) - of_workers - {"wsgi_fcgi"}


def test_manual_page(render):
    """Its table has each metric, with its labels, and no other."""
    with open(os.environ["MAN_PAGE"]) as file:
        page = file.read()
    rows = dict(re.findall(r"^\.It Li wsgi_fcgi_(\w+)(?: Brq (.*))?$", page.split("METRICS", 1)[1], re.M))
    expected = {}
    for f in families(render, "shop").values():
        labels = list(dict.fromkeys(label for s in f.samples for label in s.labels if label != "le"))
        suffix = {"counter": "_total", "info": "_info"}.get(f.type, "")
        expected[(f.name + suffix)[len("wsgi_fcgi_"):]] = ", ".join(labels)
    assert rows == expected
