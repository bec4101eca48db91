"""SVG plots of a record."""

import statistics

from . import loads, overload_report
from .report import Results, short

COLOURS = {"wsgi-fcgi": "#1b6ca8", "wsgi-fcgi-several": "#6ba3cf"}
OTHER, LIMIT = "#b0b7bd", "#dddddd"
LIMITS = ("libfcgi-responder", "c-responder", "null-responder")
MIB = 1024 * 1024


def start():
    """matplotlib, told to make files that do not differ from run to run where the figures do not."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "wsgi-fcgi", "svg.fonttype": "none", "font.size": 9,
                                "axes.spines.top": False, "axes.spines.right": False})  # fmt: skip
    from matplotlib import pyplot

    return pyplot


def colour(peer):
    return COLOURS.get(peer, LIMIT if peer in LIMITS else OTHER)


def bars(axes, results, path, load, key, title, scale=1.0, least=False):
    """A bar for each peer, the best on top (`least`: the shortest), with the spread of the rounds."""
    values = {}
    for peer in results.record["samples"].get(path, {}).get(load, {}):
        found = [v * scale for v in results.values(path, load, peer, key) if v is not None]
        if found:
            values[peer] = found
    order = sorted(values, key=lambda peer: statistics.median(values[peer]), reverse=least)
    medians = [statistics.median(values[peer]) for peer in order]
    error = [[m - min(values[p]) for p, m in zip(order, medians)], [max(values[p]) - m for p, m in zip(order, medians)]]
    if order:
        axes.barh(order, medians, xerr=error, color=[colour(peer) for peer in order], ecolor="#555555",
                  error_kw={"linewidth": 0.8})  # fmt: skip
        for i, value in enumerate(medians):
            axes.annotate(short(value), (max(values[order[i]]), i), xytext=(3, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
    axes.set_title(title, loc="left", fontsize=9)
    axes.margins(x=0.18)
    axes.set_xlim(left=0)


def save(pyplot, figure, path):
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return path


def measured(record, path, load):
    return any("failed" not in s for rounds in record["samples"].get(path, {}).get(load, {}).values() for s in rounds)


def draw_overview(pyplot, record, directory):
    """For the README: hello behind nginx."""
    if not measured(record, "nginx", "kept"):
        return None
    results = Results(record)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    bars(left, results, "nginx", "kept", "rps", "hello behind nginx: requests/s (more is better)")
    bars(right, results, "nginx", "kept", "cpu_us", "server CPU for a request, us (less is better)", least=True)
    return save(pyplot, figure, directory / "overview.svg")


def draw_loads(pyplot, record, path, directory):
    """Requests/s and CPU of every load of a path."""
    names = [name for name in record["samples"][path] if measured(record, path, name)]
    if not names:
        return None
    results = Results(record)
    rows = max(len(record["samples"][path][name]) for name in names)
    figure, axes = pyplot.subplots(len(names), 2, figsize=(10, (0.26 * rows + 0.6) * len(names)), squeeze=False)
    for (left, right), name in zip(axes, names):
        title = loads.BY_NAME[name].title
        bars(left, results, path, name, "rps", f"{title}: requests/s")
        bars(right, results, path, name, "cpu_us", "server CPU for a request, us", least=True)
    return save(pyplot, figure, directory / f"loads-{path}.svg")


def quantiles(buckets):
    """Points (part of the requests that took longer, milliseconds) of a histogram."""
    total = sum(count for _, count in buckets)
    seen, points = 0, []
    for value, count in buckets:
        seen += count
        points.append(((total - seen) / total, value / 1000))
    return points


def merge(samples):
    """The histograms of all rounds in one."""
    counts = {}
    for sample in samples:
        for value, count in sample.get("histogram", []):
            counts[value] = counts.get(value, 0) + count
    return sorted(counts.items())


def draw_latency(pyplot, record, path, directory):
    """Latency at a fixed rate of arrivals: what part of the requests took longer than so long."""
    by_peer = record["samples"][path].get("rate", {})
    merged = {peer: merge(rounds) for peer, rounds in by_peer.items()}
    merged = {peer: buckets for peer, buckets in merged.items() if buckets}
    if not merged:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for peer, buckets in merged.items():
        points = [point for point in quantiles(buckets) if point[0] > 0]
        if points:
            axes.plot([p[0] for p in points], [p[1] for p in points], label=peer,
                      linewidth=2.5 if peer == "wsgi-fcgi" else 1.2, color=COLOURS.get(peer))  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.set_xticks([0.5, 0.1, 0.01, 0.001], ["p50", "p90", "p99", "p99.9"])
    axes.minorticks_off()
    axes.set_ylabel("ms")
    axes.set_title(f"hello at {record['rate']:g} requests/s, {path}: latency from when a request was due", loc="left",
                   fontsize=9)  # fmt: skip
    axes.legend(fontsize=8, frameon=False)
    return save(pyplot, figure, directory / f"latency-{path}.svg")


def draw_memory(pyplot, record, directory):
    """Resident memory before, in and after the hello load, and start-up."""
    results = Results(record)
    for path in ("nginx", "http", "fastcgi"):
        if measured(record, path, "kept"):
            break
    else:
        return None
    figure, axes = pyplot.subplots(1, 4, figsize=(16, 3.6))
    for axis, when in zip(axes, ("idle", "loaded", "after")):
        bars(axis, results, path, "kept", f"memory.{when}.rss", f"resident memory, {when}, MiB", 1 / MIB, True)
    bars(axes[3], results, path, "kept", "startup_ms", "from start to the first answer, ms", least=True)
    return save(pyplot, figure, directory / "memory.svg")


def draw(record, directory):
    """Draws what can be drawn of the record. Returns the files."""
    pyplot = start()
    made = [draw_overview(pyplot, record, directory), draw_memory(pyplot, record, directory)]
    for path in record["samples"]:
        made += [draw_loads(pyplot, record, path, directory), draw_latency(pyplot, record, path, directory)]
    for path in record.get("overload", {}):
        made.append(overload_report.draw(pyplot, save, record, path, directory))
    return [path for path in made if path]
