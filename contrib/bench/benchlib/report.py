"""From what was measured (the dict that is also written as JSON) to figures, targets and tables."""

import json
import re
import statistics
from dataclasses import asdict, dataclass, field

from . import loads, overload_report

MIB = 1024 * 1024
US = "wsgi-fcgi"


class Results:
    """Looks things up in a record. A value is None where the sample failed or was not taken."""

    def __init__(self, record):
        self.record = record

    def rounds(self, path, load, peer):
        return self.record["samples"].get(path, {}).get(load, {}).get(peer, [])

    def values(self, path, load, peer, key):
        """One value for each round; `key` may lead into nested dicts: "memory.idle.rss"."""
        return [dig(sample, key) for sample in self.rounds(path, load, peer)]

    def median(self, path, load, peer, key):
        values = present(self.values(path, load, peer, key))
        return statistics.median(values) if values else None

    def reference(self, path, load):
        """The path on which wsgi-fcgi was measured for this one's ratios: HTTP may not be built in."""
        if path == "http" and not self.rounds(path, load, US):
            return "fastcgi"
        return path

    def ratios(self, path, load, peer, key):
        """By round, to wsgi-fcgi."""
        ours = self.values(self.reference(path, load), load, US, key)
        return per_round(ratio, self.values(path, load, peer, key), ours)


def dig(sample, key):
    value = sample
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def present(values):
    return [value for value in values if value is not None]


def per_round(function, *columns):
    """The rounds are interleaved, so a noisy while hits both sides of a ratio: ratios by round, then their median. A
    round of which one side is missing gives none."""
    return [value for row in zip(*columns) if None not in row and (value := function(*row)) is not None]


def ratio(a, b):
    """None when there is nothing to compare with: too little was measured."""
    return a / b if b else None


@dataclass
class Figure:
    """A measured value beside its target: at least `target` if `least`, else at most. `values` has one per round."""

    title: str
    target: float
    least: bool
    unit: str
    values: list = field(default_factory=list)

    @property
    def measured(self):
        return statistics.median(self.values)

    @property
    def met(self):
        return self.measured >= self.target if self.least else self.measured <= self.target

    def record(self):
        return {**asdict(self), "measured": self.measured, "met": self.met}


def figures(record):
    """The targets whose loads and peers were measured."""
    return [*server_figures(record), *group_figures(record), *overload_figures(record)]


def server_figures(record):
    results = Results(record)
    all_figures = (*direct_figures(results), *http_figures(results), *front_figures(results), *memory_figures(record))
    return [f for f in all_figures if f.values]


def groups():
    """What groups of loads have of their own: figures, a table, a block of the README. They use what is here."""
    from . import crowd_report, deadlines_report, lock_report, processes_report

    return (lock_report, crowd_report, processes_report, deadlines_report)


def group_figures(record):
    results = Results(record)
    return [f for group in groups() for f in group.figures(results) if f.values]


def overload_figures(record):
    return [f for f in overload_report.figures(record, Figure) if f.values]


def direct_figures(results):
    def of(load, peer, key, path="fastcgi"):
        return results.values(path, load, peer, key)

    def scaled(load, key, factor, peer=US):
        return [value * factor for value in present(of(load, peer, key))]

    close, kept = of("close", US, "cpu_us"), of("kept", US, "cpu_us")
    uwsgi = of("close", "uwsgi", "cpu_us")
    blocked = per_round(lambda loaded, idle: (loaded - idle) / loads.MANY / 1024,
                        of("sleep1s", US, "memory.loaded.rss"), of("sleep1s", US, "memory.idle.rss"))  # fmt: skip
    ideal = {name: loads.BY_NAME[name].ideal for name in ("sleep50", "sleep50x1000", "sleep1s")}
    return [
        Figure("connection per request: requests per CPU second, wsgi-fcgi / uWSGI", 1.6, True, "x",
               per_round(ratio, uwsgi, close)),
        Figure("kept: requests per CPU second, wsgi-fcgi / uWSGI (connection per request)", 4, True, "x",
               per_round(ratio, uwsgi, kept)),
        Figure("kept: CPU per request, wsgi-fcgi / responder without Python (c-responder)", 1.45, False, "x",
               per_round(ratio, kept, of("kept", "c-responder", "cpu_us"))),
        Figure("4 requests at a time on each connection / one (kept): requests/s", 1, True, "x",
               per_round(ratio, of("mux", US, "rps"), of("kept", US, "rps"))),
        Figure("16 requests at a time on 4 connections / on 16 (kept): requests/s", 1, True, "x",
               per_round(ratio, of("mux4", US, "rps"), of("kept", US, "rps"))),
        Figure("threads in which an application that never blocks is called", 1, False, "",
               present(of("kept", US, "application_threads"))),
        Figure(f"sleep 50 ms, 64 clients: rate / ideal rate ({ideal['sleep50']:.0f}/s)", 95, True, "%",
               scaled("sleep50", "rps", 100 / ideal["sleep50"])),
        Figure(f"sleep 50 ms, 1,000 clients: rate / ideal rate ({ideal['sleep50x1000']:.0f}/s)", 80, True, "%",
               scaled("sleep50x1000", "rps", 100 / ideal["sleep50x1000"])),
        Figure("sleep 1 s, 1,000 clients: rate", 950, True, "/s", scaled("sleep1s", "rps", 1)),
        Figure("sleep 1 s, 1,000 clients: p99", 1100, False, "ms", scaled("sleep1s", "p99_us", 1 / 1000)),
        Figure("sleep 1 s, 1,000 clients: resident memory per blocked request", 64, False, "KiB", blocked),
        Figure("fast beside sleeping: p99 of the fast", 1.5, False, "ms", scaled("mixed", "p99_us", 1 / 1000)),
        Figure("fast beside sleeping: rate / undisturbed rate", 70, True, "%",
               [value * 100 for value in per_round(ratio, of("mixed", US, "rps"), of("mixed", US, "undisturbed_rps"))]),
    ]  # fmt: skip


def http_figures(results):
    """Of wsgi-fcgi's own HTTP, when it is built in."""

    def of(peer, key):
        return results.values("http", "kept", peer, key)

    return [
        Figure("HTTP, kept: requests per CPU second, wsgi-fcgi / granian", 1.3, True, "x",
               per_round(ratio, of("granian", "cpu_us"), of(US, "cpu_us"))),
        Figure("HTTP, kept: requests per CPU second, wsgi-fcgi / bjoern", 1, True, "x",
               per_round(ratio, of("bjoern", "cpu_us"), of(US, "cpu_us"))),
        Figure("HTTP, kept: requests/s, wsgi-fcgi / gunicorn gthread", 10, True, "x",
               per_round(ratio, of(US, "rps"), of("gunicorn-gthread", "rps"))),
        Figure("HTTP, kept: memory, wsgi-fcgi / granian (PSS)", 1, False, "x",
               per_round(ratio, of(US, "memory.after.pss"), of("granian", "memory.after.pss"))),
    ]  # fmt: skip


def front_figures(results):
    def of(peer, key):
        return results.values("nginx", "kept", peer, key)

    return [
        Figure("behind nginx: requests/s, wsgi-fcgi / uWSGI", 1.5, True, "x",
               per_round(ratio, of(US, "rps"), of("uwsgi", "rps"))),
        Figure("behind nginx: CPU per request, wsgi-fcgi / uWSGI", 0.4, False, "x",
               per_round(ratio, of(US, "cpu_us"), of("uwsgi", "cpu_us"))),
        Figure("behind nginx: requests/s, wsgi-fcgi / gunicorn gthread", 10, True, "x",
               per_round(ratio, of(US, "rps"), of("gunicorn-gthread", "rps"))),
        Figure("behind nginx: requests per CPU second, wsgi-fcgi / gunicorn gthread", 10, True, "x",
               per_round(ratio, of("gunicorn-gthread", "cpu_us"), of(US, "cpu_us"))),
    ]  # fmt: skip


def memory_figures(record):
    memory = record["memory"]
    if not memory:
        return []
    return [
        Figure("resident memory after the hello loads, above bare libpython", 3, False, "MiB",
               [(memory["wsgi-fcgi"]["rss"] - memory["pybase"]["rss"]) / MIB]),
        Figure(f"resident memory added by {loads.IDLE} idle kept connections", 2, False, "MiB",
               [(memory["idle"]["after"]["rss"] - memory["idle"]["before"]["rss"]) / MIB]),
    ]  # fmt: skip


def count_wrong(record):
    """Requests that failed or were answered wrongly, and samples that could not be taken."""
    wrong = failed = 0
    for by_load in record["samples"].values():
        for by_peer in by_load.values():
            for rounds in by_peer.values():
                failed += sum("failed" in sample for sample in rounds)
                wrong += sum(wrong_answers(sample) for sample in rounds)
    wrong_in_overload, failed_in_overload = overload_report.count_wrong(record)
    wrong += record["memory"].get("idle", {}).get("errors", 0)
    return wrong + wrong_in_overload, failed + failed_in_overload


def wrong_answers(sample):
    return sum(sample.get(key, 0) for key in ("errors", "not200", "bad_length"))


# --- text


def table(header, rows):
    """Lines. Columns of figures to the right, others to the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    right = [
        any(cells) and all(not c or c == "-" or c[0].isdigit() or (c[0] == "-" and c[1:2].isdigit()) for c in cells)
        for cells in zip(*rows)
    ]
    lines = []
    for row in [header, *rows]:
        cells = (c.rjust(w) if figure else c.ljust(w) for c, w, figure in zip(row, widths, right))
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def markdown(header, rows):
    """Lines of a table for the README."""
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def titled_text(tables):
    """Lines of tables, each a title, a header and rows."""
    return [line for title, header, rows in tables for line in ["", title, *table(header, rows)]]


def titled_markdown(tables):
    """The same for the README."""
    lines = []
    for title, header, rows in tables:
        lines += [*([""] if lines else []), f"**{title}**", "", *markdown(header, rows)]
    return lines


def short(value):
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values, form):
    low, high = format(min(values), form), format(max(values), form)
    return f"{low}..{high}" if len(values) > 1 else ""


def middle(values, form, scale=1.0):
    values = present(values)
    return format(statistics.median(values) * scale, form) if values else "-"


COLUMNS = ("peer", "requests/s", "spread", "ratio", "CPU us", "spread", "ratio", "p50 ms", "p99 ms", "p99.9 ms",
           "threads", "MiB idle", "loaded", "after", "(PSS)", "start ms", "wrong")  # fmt: skip


def load_rows(results, path, load):
    rows = []
    for peer, rounds in results.record["samples"][path][load].items():
        good = [sample for sample in rounds if "failed" not in sample]
        if not good:
            rows.append([peer, *["-"] * (len(COLUMNS) - 2), "FAILED"])
            continue

        def values(key, peer=peer):
            return results.values(path, load, peer, key)

        failed = len(rounds) - len(good)
        wrong = sum(map(wrong_answers, good))
        rows.append([
            peer, middle(values("rps"), ".1f" if load in ("file", "upload") else ".0f"),
            spread(present(values("rps")), ".1f" if load in ("file", "upload") else ".0f"),
            middle(results.ratios(path, load, peer, "rps"), ".2f"), middle(values("cpu_us"), ".1f"),
            spread(present(values("cpu_us")), ".1f"), middle(results.ratios(path, load, peer, "cpu_us"), ".2f"),
            *(middle(values(key), ".2f", 1 / 1000) for key in ("p50_us", "p99_us", "p999_us")),
            str(max(sample["threads"] for sample in good)),
            *(middle(values(f"memory.{when}.rss"), ".1f", 1 / MIB) for when in ("idle", "loaded", "after")),
            middle(values("memory.after.pss"), ".1f", 1 / MIB), middle(values("startup_ms"), ".0f"),
            str(wrong) + (f", {failed} of {len(rounds)} FAILED" if failed else ""),
        ])  # fmt: skip
    return rows


def load_notes(results, path, load):
    lines = []
    reference = results.reference(path, load)
    if reference != path:
        lines.append(f"  (ratios: to wsgi-fcgi by {reference})")
    for peer, rounds in results.record["samples"][path][load].items():
        good = [sample for sample in rounds if "failed" not in sample]
        late = sum(sample.get("unanswered", 0) for sample in good) if load == "rate" else 0
        if late:
            lines.append(f"  {peer}: {late} requests that were due had no answer at the end")
        if load in ("file", "upload") and good:
            size = loads.FILE_BYTES if load == "file" else loads.UPLOAD_BYTES
            rate = statistics.median(sample["rps"] for sample in good) * size / 1e6
            lines.append(f"  {peer}: {rate:.0f} MB/s")
        if good and "undisturbed_rps" in good[0]:
            rest = statistics.median(s["undisturbed_rps"] for s in good)
            slow = statistics.median(s["sleeping_rps"] for s in good)
            ideal = loads.SLEEPERS / 0.05
            lines.append(f"  {peer}: undisturbed {rest:.0f} requests/s; sleeping clients {slow:.1f} of {ideal:.0f}/s")
        if path == "nginx" and good and good[0].get("nginx_cpu_us") is not None:
            lines.append(f"  {peer}: nginx itself {statistics.median(s['nginx_cpu_us'] for s in good):.1f} us of CPU "
                         "for each request")  # fmt: skip
    return lines


PATH_TITLES = {
    "fastcgi": "straight by FastCGI over a Unix socket",
    "http": "straight by HTTP over TCP",
    "nginx": "behind nginx, by the fastest link the peer has",
}


def loads_text(record):
    results = Results(record)
    lines = []
    for path, by_load in record["samples"].items():
        for load in by_load:
            title = loads.BY_NAME[load].title
            title += f" ({record['rate']:g}/s)" if load == "rate" else ""
            lines += ["", f"{path}: {load}: {title}; {PATH_TITLES[path]}"]
            lines += table(COLUMNS, load_rows(results, path, load))
            lines += load_notes(results, path, load)
    return lines


def memory_text(memory):
    if not memory:
        return []
    rows = []
    for name, m in memory.items():
        for label, part in (("", m),) if "rss" in m else ((" before", m["before"]), (" with them", m["after"])):
            title = name if name != "idle" else f"wsgi-fcgi, {loads.IDLE} idle connections:"
            rows.append([title + label, *(f"{part[key] / MIB:.2f}" for key in ("rss", "pss", "private"))])
    return ["", "Memory after the hello loads, MiB", *table(["process", "resident", "proportional", "private"], rows)]


def figures_text(all_figures):
    rows = [
        [
            f.title, f"{'>=' if f.least else '<='} {f.target:g} {f.unit}".rstrip(), f"{f.measured:.2f}",
            spread(f.values, ".2f"), "met" if f.met else "MISSED",
        ]
        for f in all_figures
    ]  # fmt: skip
    return ["", "Targets (median of the rounds' values)", *table(["figure", "target", "measured", "spread", ""], rows)]


def head_text(record):
    m = record["machine"]
    lines = [f"{record['date']}: {record['rounds']} rounds, {record['seconds']:g} s each; processes: "
             f"{record['processes']}",
             f"Machine: {m['processor']}, {m['cpus']} CPUs, {m['memory_mib']} MiB; {m['system']}, {m['kernel']}; "
             f"load average {m['load_average']:.2f}"]  # fmt: skip
    for key, title in (("arguments", "Run with"), ("source", "Source"), ("flags", "CFLAGS")):
        if record.get(key):
            lines.append(f"{title}: {record[key]}")
    for name, version in record["versions"].items():
        python = record["pythons"].get(name, {}).get("version", "")
        memo = record["memos"].get(name, "")
        about = [part for part in (version, f"Python {python.split()[0]}" if python else "", memo) if part]
        lines.append(f"  {name}: {'; '.join(about)}")
    if len({python["version"] for python in record["pythons"].values()}) > 1:
        lines.append("Beware: the peers run different Pythons.")
    lines.append("Command lines:")
    for path, by_peer in record["commands"].items():
        for commands in by_peer.values():
            lines += [f"  {path}: {command}" for command in commands]
    if record["nginx_command"]:
        lines.append(f"  nginx: {' '.join(record['nginx_command'])}")
    if record.get("files"):
        lines.append(f"Their configuration files are in the JSON: {', '.join(record['files'])}")
    return lines


def text(record):
    lines = [*head_text(record), *loads_text(record), *memory_text(record["memory"]), *overload_report.text(record, table)]
    for group in groups():
        lines += group.text(record)
    all_figures = figures(record)
    if all_figures:
        lines += figures_text(all_figures)
    wrong, failed = count_wrong(record)
    if wrong:
        lines += ["", f"{wrong} requests failed or were answered wrongly."]
    if failed:
        lines += ["", f"{failed} samples could not be taken; their peers are marked FAILED."]
    lines += [f"note: {note}" for note in record["notes"]]
    return "\n".join(lines) + "\n"


def to_json(record):
    """Indented, but with every histogram on one line."""
    histograms = []

    def shorten(value):
        if isinstance(value, list):
            return [shorten(item) for item in value]
        if not isinstance(value, dict):
            return value
        out = {key: shorten(item) for key, item in value.items() if key != "histogram"}
        if "histogram" in value:
            out["histogram"] = f"@{len(histograms)}@"
            histograms.append(json.dumps(value["histogram"]))
        return out

    text = json.dumps(shorten(record), indent=1)
    return re.sub(r'"@(\d+)@"', lambda found: histograms[int(found[1])], text) + "\n"


def passed(record):
    return not any(count_wrong(record)) and all(figure.met for figure in figures(record))
