"""From samples to figures, targets and tables."""

import statistics
from dataclasses import asdict, dataclass, field

from . import loads

MIB = 1024 * 1024


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


def per_round(function, *columns):
    """The rounds are interleaved, so a noisy while hits both sides of a ratio: ratios by round, then their median."""
    return [function(*row) for row in zip(*columns)]


def ratio(a, b):
    return a / b if b else float("inf")


def figures(samples, memory):
    """Those whose loads and peers were measured. `samples[load][peer]` is a list with one sample per round."""

    def of(load, peer, key):
        return [sample[key] for sample in samples.get(load.name, {}).get(peer, [])]

    close = of(loads.CLOSE, "wsgi-fcgi", "cpu_us")
    kept = of(loads.KEPT, "wsgi-fcgi", "cpu_us")
    uwsgi = of(loads.CLOSE, "uwsgi", "cpu_us")
    null = of(loads.KEPT, "c-responder", "cpu_us")
    rest = of(loads.MIXED, "wsgi-fcgi", "undisturbed_rps")
    ideal = loads.SLEEP_CLIENTS / loads.SLEEP_SECONDS
    all_figures = [
        Figure("connection per request: requests per CPU second, wsgi-fcgi / uWSGI", 1.6, True, "x",
               per_round(ratio, uwsgi, close)),
        Figure("kept: requests per CPU second, wsgi-fcgi / uWSGI (connection per request)", 4, True, "x",
               per_round(ratio, uwsgi, kept)),
        Figure("kept: CPU per request, wsgi-fcgi / responder without Python", 1.6, False, "x",
               per_round(ratio, kept, null)),
        Figure(f"sleep 50 ms: rate / ideal rate ({ideal:.0f}/s)", 95, True, "%",
               [rps / ideal * 100 for rps in of(loads.SLEEP, "wsgi-fcgi", "rps")]),
        Figure("fast beside sleeping: p99 of the fast", 1.5, False, "ms",
               [us / 1000 for us in of(loads.MIXED, "wsgi-fcgi", "p99_us")]),
        Figure("fast beside sleeping: rate / undisturbed rate", 70, True, "%",
               per_round(lambda a, b: ratio(a, b) * 100, of(loads.MIXED, "wsgi-fcgi", "rps"), rest)),
        Figure("resident memory after the hello loads, above bare libpython", 3, False, "MiB",
               [(memory["wsgi-fcgi"]["rss"] - memory["pybase"]["rss"]) / MIB] if "wsgi-fcgi" in memory else []),
        Figure(f"resident memory added by {loads.IDLE} idle kept connections", 2, False, "MiB",
               [(memory["idle"]["after"]["rss"] - memory["idle"]["before"]["rss"]) / MIB] if "idle" in memory else []),
    ]  # fmt: skip
    return [figure for figure in all_figures if figure.values]


def table(header, rows):
    """Columns of figures to the right, others to the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    right = [any(cells) and all(not c or c[0].isdigit() or c[0] == "-" for c in cells) for cells in zip(*rows)]
    for row in [header, *rows]:
        cells = (c.rjust(w) if figure else c.ljust(w) for c, w, figure in zip(row, widths, right))
        print("  " + "  ".join(cells).rstrip())


def spread(values, form):
    low, high = format(min(values), form), format(max(values), form)
    return f"{low}..{high}" if len(values) > 1 else ""


def print_samples(samples, titles):
    for name, by_peer in samples.items():
        print(f"\n{titles[name]}")
        rows = []
        for peer, rounds in by_peer.items():
            rps = [s["rps"] for s in rounds]
            cpu = [s["cpu_us"] for s in rounds]
            rows.append([
                peer, f"{statistics.median(rps):.0f}", spread(rps, ".0f"), f"{statistics.median(cpu):.2f}",
                spread(cpu, ".2f"), f"{statistics.median(s['p50_us'] for s in rounds):.0f}",
                f"{statistics.median(s['p99_us'] for s in rounds):.0f}",
                f"{max(s['threads'] for s in rounds)}", f"{sum(s['errors'] + s['not200'] for s in rounds)}",
            ])  # fmt: skip
        header = ["peer", "requests/s", "spread", "CPU us/request", "spread", "p50 us", "p99 us", "threads", "errors"]
        table(header, rows)
        for peer, rounds in by_peer.items():
            if "undisturbed_rps" in rounds[0]:
                rest = statistics.median(s["undisturbed_rps"] for s in rounds)
                slow = statistics.median(s["sleeping_rps"] for s in rounds)
                ideal = loads.SLEEPERS / loads.SLEEP_SECONDS
                print(f"  {peer}: undisturbed {rest:.0f} requests/s; sleeping clients {slow:.1f} of {ideal:.0f}/s")


def print_memory(memory):
    print("\nMemory, MiB")
    rows = []
    for name, m in memory.items():
        for label, part in (("", m),) if "rss" in m else ((" before", m["before"]), (" with them", m["after"])):
            title = name if name != "idle" else f"wsgi-fcgi, {loads.IDLE} idle connections:"
            rows.append([title + label, *(f"{part[key] / MIB:.2f}" for key in ("rss", "pss", "private"))])
    table(["process", "resident", "proportional", "private"], rows)


def print_figures(all_figures):
    print("\nTargets (median of the rounds' values)")
    rows = [
        [
            f.title, f"{'>=' if f.least else '<='} {f.target:g} {f.unit}", f"{f.measured:.2f}",
            spread(f.values, ".2f"), "ok" if f.met else "MISSED",
        ]
        for f in all_figures
    ]  # fmt: skip
    table(["figure", "target", "measured", "spread", ""], rows)
