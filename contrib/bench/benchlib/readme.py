"""What a run writes into two READMEs: all figures into the benchmark's, a few of them into the project's. A group of
loads has a block of its own in the benchmark's, marked with its name, which a run of that group writes."""

from . import loads, overload_report
from .report import MIB, Results, groups, overload_figures, server_figures, short


def marks(name=""):
    """The lines between which a block stands."""
    words = f"written by contrib/bench/run {' '.join(['--readme', name]).strip()}"
    return f"<!-- {words}: begin -->", f"<!-- {words}: end -->"


BEGIN, END = marks()

# path, load, peer, what it is called
ROWS = (
    ("fastcgi", "kept", "wsgi-fcgi", "wsgi-fcgi, FastCGI, kept connections"),
    ("fastcgi", "close", "wsgi-fcgi", "wsgi-fcgi, FastCGI, a connection per request"),
    ("fastcgi", "mux", "wsgi-fcgi", "wsgi-fcgi, FastCGI, multiplexed: 4 requests at a time on each connection"),
    ("http", "kept", "wsgi-fcgi", "wsgi-fcgi, HTTP, kept connections"),
    ("fastcgi", "close", "uwsgi", "uWSGI, FastCGI, a connection per request (it keeps none)"),
    ("http", "kept", "granian", "granian, HTTP, kept connections"),
    ("http", "kept", "bjoern", "bjoern, HTTP, kept connections"),
    ("http", "kept", "gunicorn-gthread", "gunicorn gthread, HTTP, kept connections"),
    ("fastcgi", "kept", "null-responder", "this server with an application in C, kept connections"),
    ("fastcgi", "kept", "c-responder", "a minimal C program that sends the same answer, kept connections"),
    ("nginx", "kept", "wsgi-fcgi", "behind nginx: wsgi-fcgi"),
    ("nginx", "kept", "uwsgi", "behind nginx: uWSGI"),
    ("nginx", "kept", "bjoern", "behind nginx: bjoern"),
    ("nginx", "kept", "granian", "behind nginx: granian"),
    ("nginx", "kept", "gunicorn-gthread", "behind nginx: gunicorn gthread"),
)


# What the project's README says of a hello behind nginx: peer, its name
SUMMARY = (("wsgi-fcgi", "wsgi-fcgi"), ("bjoern", "bjoern"), ("uwsgi", "uWSGI"), ("granian", "granian"),
           ("gunicorn-gthread", "gunicorn"))  # fmt: skip


def speed_rows(results):
    rows = []
    for path, load, peer, title in ROWS:
        rps = results.median(path, load, peer, "rps")
        if rps is None:
            continue
        cpu = results.median(path, load, peer, "cpu_us")
        p99 = results.median(path, load, peer, "p99_us")
        pss = results.median(path, load, peer, "memory.after.pss")
        rows.append(f"| {title} | {round_figure(rps)} | {cpu:.1f} us | {p99 / 1000:.2f} ms | {pss / MIB:.0f} MiB |")
    return rows


def round_figure(value):
    """Three digits are what such a figure is good for."""
    digits = max(0, len(str(int(value))) - 3)
    return f"{round(value, -digits):,.0f}"


def figure_rows(all_figures):
    rows = []
    for figure in all_figures:
        sign = "at least" if figure.least else "at most"
        met = "" if figure.met else " (missed)"
        rows.append(f"| {figure.title} | {short(figure.measured)} {figure.unit} | {sign} {figure.target:g}{met} |")
    return rows


def picture(plot):
    return [f"![requests/s and CPU of all peers behind nginx]({plot})", ""] if plot else []


def summary(record, plot):
    """The block of the project's README. `plot` is the picture's path from there, or None."""
    results = Results(record)
    lines = [BEGIN, *picture(plot)]
    cpu = [(name, results.median("nginx", "kept", peer, "cpu_us")) for peer, name in SUMMARY]
    cpu = [f"{name} {value:.1f} us" for name, value in cpu if value is not None]
    if cpu:
        lines += [f"- CPU per hello behind nginx: {', '.join(cpu)}."]
    waiting = results.median("fastcgi", "sleep1s", "wsgi-fcgi", "rps")
    if waiting is not None:
        lines += [f"- 1,000 clients of a handler that sleeps for 1 s: {round_figure(waiting)} answers/s."]
    memory = [(name, results.median("http", "kept", peer, "memory.after.pss")) for peer, name in SUMMARY]
    memory = [f"{name} {value / MIB:.0f} MiB" for name, value in memory if value is not None]
    if memory:
        lines += [f"- Memory after a load of hello by HTTP (PSS): {', '.join(memory)}."]
    return "\n".join([*lines, END])


def block(record, plot):
    """The block of the benchmark's README, with all figures."""
    results = Results(record)
    lines = [BEGIN, *picture(plot)]
    lines += ["| | requests/s | CPU per request | p99, closed loop | memory (PSS) |", "|---|---|---|---|---|",
              *speed_rows(results)]  # fmt: skip
    lines += targets(server_figures(record))
    return "\n".join(line.replace("  ", " ") for line in [*lines, *measured_on(record), END])


def targets(all_figures):
    rows = figure_rows(all_figures)
    return ["", "| | measured | target |", "|---|---|---|", *rows] if rows else []


def measured_on(record):
    m = record["machine"]
    return ["", f"{m['processor']}, {m['cpus']} CPUs shared with the load generator; {m['system']};",
            f"{record['date'][:10]}; medians of {record['rounds']} rounds of {record['seconds']:g} s. Trust the ratios, not the "
            "times."]  # fmt: skip


def is_usual(record):
    """Whether loads were measured that belong to no group."""
    names = {name for by_load in record["samples"].values() for name in by_load}
    return bool(record["memory"]) or any(name in loads.USUAL for name in names)


def group_blocks(record):
    """By name: the blocks of the groups that were measured."""
    results = Results(record)
    blocks = {}
    for group in groups():
        lines = group.block(record)
        if lines:
            begin, end = marks(group.NAME)
            found = [figure for figure in group.figures(results) if figure.values]
            lines = [begin, *lines, *targets(found), *measured_on(record), end]
            blocks[group.NAME] = "\n".join(line.replace("  ", " ") for line in lines)
    return blocks


def overload_block(record, plot):
    """The block of overload, in the benchmark's README."""
    return overload_report.block(record, plot, figure_rows(overload_figures(record)))


def rewrite(text, new, marks=(BEGIN, END)):
    """The README's text with the marked block replaced. ValueError when it has none."""
    begin, end = map(text.find, marks)
    if begin < 0 or end < begin:
        raise ValueError(f"no block between {marks[0]!r} and {marks[1]!r}")
    return text[:begin] + new + text[end + len(marks[1]):]

