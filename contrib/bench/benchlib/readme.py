"""What a run writes into two READMEs: all figures into the benchmark's, a few of them into the project's."""

from .report import MIB, Results, figures, short

BEGIN = "<!-- written by contrib/bench/run --readme: begin -->"
END = "<!-- written by contrib/bench/run --readme: end -->"

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


def figure_rows(record):
    rows = []
    for figure in figures(record):
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
    m = record["machine"]
    seconds, rounds = record["seconds"], record["rounds"]
    lines = [BEGIN, *picture(plot)]
    lines += ["| | requests/s | CPU per request | p99, closed loop | memory (PSS) |", "|---|---|---|---|---|", *speed_rows(results)]
    rows = figure_rows(record)
    if rows:
        lines += ["", "| | measured | target |", "|---|---|---|", *rows]
    lines += ["", f"{m['processor']}, {m['cpus']} CPUs shared with the load generator; {m['system']};",
              f"{record['date'][:10]}; medians of {rounds} rounds of {seconds:g} s. Trust the ratios, not the times.",
              END]  # fmt: skip
    return "\n".join(line.replace("  ", " ") for line in lines)


def rewrite(text, new):
    """The README's text with the marked block replaced. ValueError when it has none."""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"no block between {BEGIN!r} and {END!r}")
    return text[:begin] + new + text[end + len(END):]

