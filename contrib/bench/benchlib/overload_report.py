"""What is said of overload: targets, tables, a plot, and the block of the benchmark's README."""

import statistics

from . import overload

US = "wsgi-fcgi"
TITLES = {US: "wsgi-fcgi", "uwsgi": "uWSGI", "granian": "granian", "gunicorn-gthread": "gunicorn gthread"}
COLOURS = {US: "#1b6ca8", "uwsgi": "#c0563b", "granian": "#6a9a3b", "gunicorn-gthread": "#8a63a8"}
BEGIN = "<!-- written by contrib/bench/run --readme overload: begin -->"
END = "<!-- written by contrib/bench/run --readme overload: end -->"
LAST = overload.LIMITS[-1]
TICKS = (0.5, 1, 1.5, 2, 3, 10)
LATE_GENERATOR = 50000  # us: beyond that it is said how late it was

COLUMNS = ("offered", "connections", "peer", "offered/s", *(f"{limit} s %" for limit in overload.LIMITS), "spread",
           f"{LAST} s /s", "ratio", "refused %", "no answer %", "wrong", "p50 ms", "503 ms", "")  # fmt: skip


def rounds(record, path, load, peer):
    """Those that could be measured."""
    found = record.get("overload", {}).get(path, {}).get(load, {}).get(peer, [])
    return [one for one in found if "failed" not in one]


def every_round(record):
    """(path, load, peer, round) of all that was taken."""
    for path, by_load in record.get("overload", {}).items():
        for load, by_peer in by_load.items():
            for peer, found in by_peer.items():
                for one in found:
                    yield path, load, peer, one


def points(one):
    """The points of a round, by factor and, where it is another one of that factor, connections."""
    return {(point["factor"], point["clients"] if point["extra"] else None): point for point in one["points"]}


def taken(point):
    return point is not None and "failed" not in point and "beyond" not in point


def per_second(point, name):
    return point[name] / point["seconds"] if point["seconds"] else 0


def goodput(point, limit=LAST):
    return per_second(point, f"within_{limit}s")


def part(point, *names):
    """Per cent of those that were due."""
    return 100 * sum(point[name] for name in names) / point["due"] if point["due"] else 0


def unanswered(point):
    """Per cent of those that were due. Without a capacity it is about the whole sample, and its end is one too."""
    names = ("given_up", "unsent", "unreachable")
    if point["factor"]:
        return part(point, *names)
    return 100 * (sum(point[f"{name}_all"] for name in names) + point["unanswered"]) / max(1, point["due_all"])


def wrong(point):
    return sum(point.get(name, 0) for name in ("errors", "not200", "bad_length")) + point.get("unreachable_all", 0)


def count_wrong(record):
    """Wrong answers of wsgi-fcgi, since others may break when there is too much to do; and what could not be taken."""
    bad = failed = 0
    for _, _, peer, one in every_round(record):
        failed += "failed" in one
        for point in one.get("points", ()):
            failed += "failed" in point
            bad += wrong(point) if peer == US and taken(point) else 0
    return bad, failed


# --- targets


def worst_share(one):
    """Of the factors above 1, the least part of the capacity that was answered in time, in per cent; None without any."""
    shares = [100 * goodput(point) / one["capacity"] for (factor, extra), point in points(one).items()
              if factor and factor > 1 and not extra and taken(point)]  # fmt: skip
    return min(shares, default=None)


def refused_below(one):
    """How many were refused below the capacity."""
    found = [point["refused_all"] for (factor, _), point in points(one).items()
             if factor and factor < 1 and taken(point)]  # fmt: skip
    return sum(found) if found else None


def refusal_seconds(one, load):
    """How long until a 503 came where nothing can be answered; without any, it took longer than they waited."""
    found = [point["refused_p50_us"] / 1e6 if point["refused"] else load.patience
             for point in one["points"] if taken(point)]  # fmt: skip
    return max(found, default=None)


def refused_at_all(one):
    found = [point["refused_all"] + point["given_up_all"] + point["unsent_all"]
             for point in one["points"] if taken(point)]  # fmt: skip
    return sum(found) if found else None


def targets(load):
    """(title, target, whether that is the least, unit, function of a round) of a load."""
    if load.factors:
        return [
            (f"overload, {load.title}: answered within {LAST} s / capacity, worst of what is above 1", 95, True, "%",
             worst_share),
            (f"overload, {load.title}: refused below the capacity", 0, False, "", refused_below),
        ]  # fmt: skip
    if load.burst:
        return [(f"{load.title}: refused or not answered", 0, False, "", refused_at_all)]
    return [(f"overload, {load.title}: a 503 comes after", 2, False, "s", lambda one: refusal_seconds(one, load))]


def figures(record, make):
    """`make` is report.Figure."""
    found = []
    for path, by_load in record.get("overload", {}).items():
        for name in by_load:
            for title, target, least, unit, function in targets(overload.BY_NAME[name]):
                values = [value for one in rounds(record, path, name, US) if (value := function(one)) is not None]
                found.append(make(f"{title} ({path})", target, least, unit, values))
    return found


# --- tables


def offered(which):
    factor, extra = which
    return f"{factor:g} x" + (f", {extra:,} connections" if extra else "") if factor else ""


def middle(values, form):
    values = [value for value in values if value is not None]
    return format(statistics.median(values), form) if values else "-"


def spread(values, form):
    return f"{format(min(values), form)}..{format(max(values), form)}" if len(values) > 1 else ""


def keys(record, path, load):
    """Of all points, in their order."""
    found = {}
    for peer in record["overload"][path][load]:
        for one in rounds(record, path, load, peer):
            found.update(dict.fromkeys(points(one)))
    return list(found)


def pairs(record, path, load, peer, which):
    """(round, point) of all rounds in which this point was taken."""
    found = [(one, points(one).get(which)) for one in rounds(record, path, load, peer)]
    return [(one, point) for one, point in found if taken(point)]


def ratios(record, path, load, peer, which):
    """Of goodput, to wsgi-fcgi in the same round."""
    values = []
    all_rounds = record["overload"][path][load]
    for theirs, ours in zip(all_rounds.get(peer, []), all_rounds.get(US, [])):
        both = [points(one).get(which) if "failed" not in one else None for one in (theirs, ours)]
        if all(map(taken, both)) and goodput(both[1]):
            values.append(goodput(both[0]) / goodput(both[1]))
    return values


def row(record, path, load, peer, which):
    factor, extra = which
    all_of_it = record["overload"][path][load][peer]
    found = pairs(record, path, load, peer, which)
    cells = [f"{factor:g} x" if factor else "-", "", TITLES.get(peer, peer)]
    if not found:
        beyond = any("beyond" in (points(one).get(which) or {}) for one in all_of_it if "failed" not in one)
        return [*cells, *["-"] * (len(COLUMNS) - 4), "not offered" if beyond else "FAILED"]
    values = [point for _, point in found]
    cells[1] = middle([point["clients"] for point in values], ".0f")
    shares = {limit: [100 * goodput(point, limit) / one["capacity"] if one["capacity"] else None for one, point in found]
              for limit in overload.LIMITS}  # fmt: skip
    answered = [point["p50_us"] / 1000 for point in values if point["good"]]
    refused = [point["refused_p50_us"] / 1000 for point in values if point["refused"]]
    return [
        *cells, middle([per_second(point, "due") for point in values], ".0f"),
        *(middle(shares[limit], ".1f") for limit in overload.LIMITS),
        spread([share for share in shares[LAST] if share is not None], ".1f"),
        middle([goodput(point) for point in values], ".0f"), middle(ratios(record, path, load, peer, which), ".2f"),
        middle([part(point, "refused") for point in values], ".1f"),
        middle([unanswered(point) for point in values], ".1f"),
        str(sum(map(wrong, values))), middle(answered, ".1f"), middle(refused, ".1f"), "",
    ]  # fmt: skip


def capacities(record, path, load):
    """peer: median requests/s."""
    found = {peer: [one["capacity"] for one in rounds(record, path, load, peer) if one["capacity"]]
             for peer in record["overload"][path][load]}  # fmt: skip
    return {peer: statistics.median(values) for peer, values in found.items() if values}


def notes(record, path, load):
    """Where the generator was what was measured."""
    lines = []
    for peer in record["overload"][path][load]:
        for which in keys(record, path, load):
            late = [point["lag_p99_us"] for _, point in pairs(record, path, load, peer, which)]
            if late and statistics.median(late) > LATE_GENERATOR:
                lines.append(f"  {TITLES.get(peer, peer)}, {offered(which) or load}: the generator was late by up to "
                             f"{statistics.median(late) / 1000:.0f} ms (p99)")  # fmt: skip
    return lines


def text(record, table):
    """Lines. `table` is report.table."""
    lines = []
    for path, by_load in record.get("overload", {}).items():
        for load, by_peer in by_load.items():
            lines += ["", f"{path}: {load}: {overload.BY_NAME[load].title}; one process of {overload.THREADS} threads each"]
            found = capacities(record, path, load)
            if found:
                shown = ", ".join(f"{TITLES.get(peer, peer)} {value:,.0f}/s" for peer, value in found.items())
                lines.append(f"  capacity: {shown}")
            lines += [f"  {TITLES.get(peer, peer)}: FAILED" for peer in by_peer if not rounds(record, path, load, peer)]
            rows = [row(record, path, load, peer, which) for which in keys(record, path, load)
                    for peer in by_peer if rounds(record, path, load, peer)]  # fmt: skip
            lines += table(COLUMNS, rows) if rows else []
            lines += notes(record, path, load)
    return lines


# --- the README


def cell(record, path, load, peer, which):
    found = pairs(record, path, load, peer, which)
    if not found:
        one = (rounds(record, path, load, peer) or [None])[0]
        return "not offered" if one and "beyond" in (points(one).get(which) or {}) else "failed"
    values = [point for _, point in found]
    words = []
    if which[0]:
        share = statistics.median(100 * goodput(point) / one["capacity"] for one, point in found)
        answered = [point["p50_us"] / 1000 for point in values if point["good"]]
        took = f" in {milliseconds(statistics.median(answered))}" if answered and share >= 0.5 else ""
        words.append(f"**{share:.0f} %**{took}")
    refused = statistics.median(part(point, "refused") for point in values)
    if refused:
        took = statistics.median(point["refused_p50_us"] / 1000 for point in values)
        words.append(f"{percent(refused)} refused" + ("" if which[0] else f" after {milliseconds(took)}"))
    gone = statistics.median(map(unanswered, values))
    if not which[0] and gone:
        words.append(f"{percent(gone)} not answered")
    return ", ".join(words) or "all answered"


def percent(value):
    return f"{value:.0f} %" if value >= 1 else f"{value:.2g} %"


def milliseconds(value):
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


def load_block(record, path, load):
    by_peer = record["overload"][path][load]
    found = capacities(record, path, load)
    shown = "; ".join(f"{TITLES.get(peer, peer)} {value:,.0f}/s" for peer, value in found.items())
    title = f"{overload.BY_NAME[load].title}{f' (capacity: {shown})' if shown else ''}"
    names = [TITLES.get(peer, peer) for peer in by_peer]
    first = "offered" if overload.BY_NAME[load].factors else ""
    lines = ["", f"**{load}**: {title}", "", f"| {first} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for which in keys(record, path, load):
        lines.append(f"| {offered(which)} | {' | '.join(cell(record, path, load, peer, which) for peer in by_peer)} |")
    return lines


def block(record, plot, figure_rows):
    """`figure_rows`: of the table of targets, as readme.py makes them."""
    m = record["machine"]
    lines = [BEGIN, *([f"![answers within {LAST} s against what is offered]({plot})"] if plot else [])]
    for path, by_load in record["overload"].items():
        for load in by_load:
            lines += load_block(record, path, load)
    if figure_rows:
        lines += ["", "| | measured | target |", "|---|---|---|", *figure_rows]
    lines += ["", f"{m['processor']}, {m['cpus']} CPUs shared with the load generator; {m['system']}; {record['date'][:10]};",
              f"{'medians of ' if record['rounds'] > 1 else ''}{record['rounds']} round{'s' * (record['rounds'] > 1)}.",
              END]  # fmt: skip
    return "\n".join(line.replace("  ", " ") for line in lines)


# --- the plot


def curve(record, path, load, peer):
    """Points (factor, per cent of the capacity that is answered in time)."""
    found = []
    for which in keys(record, path, load):
        factor, extra = which
        shares = [100 * goodput(point) / one["capacity"] for one, point in pairs(record, path, load, peer, which)
                  if one["capacity"]]  # fmt: skip
        if factor and not extra and shares:
            found.append((factor, statistics.median(shares)))
    return found


def draw(pyplot, save, record, path, directory):
    """Returns the file, or None when there is nothing to draw."""
    names = [load for load in record["overload"][path] if overload.BY_NAME[load].factors and keys(record, path, load)]
    if not names:
        return None
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4.2 * columns, 3.4 * lines), squeeze=False)
    for axis, load in zip(axes.flat, names):
        factors = sorted({1, *(which[0] for which in keys(record, path, load) if which[0])})
        axis.plot(factors, [100 * min(1, factor) for factor in factors], color="#999999", linewidth=1, linestyle=":",
                  label="all that is possible")  # fmt: skip
        for peer in record["overload"][path][load]:
            found = curve(record, path, load, peer)
            axis.plot(*(zip(*found) if found else ([], [])), marker="o", markersize=3, label=TITLES.get(peer, peer),
                      color=COLOURS.get(peer), linewidth=2.5 if peer == US else 1.2, zorder=3 if peer == US else 2)  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(TICKS, [f"{factor:g}" for factor in TICKS])
        axis.minorticks_off()
        axis.set_ylim(0, 115)
        axis.set_title(overload.BY_NAME[load].title, loc="left", fontsize=9)
        axis.set_xlabel("offered / capacity")
        axis.set_ylabel(f"% of capacity within {LAST} s")
    for axis in list(axes.flat)[len(names):]:
        axis.set_visible(False)
    axes.flat[0].legend(fontsize=7, frameon=False)
    return save(pyplot, figure, directory / f"overload-{path}.svg")
