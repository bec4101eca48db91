"""The block of the project's README that a run writes."""

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


def block(record, plot):
    """`plot` is the picture's path as the README names it, or None."""
    results = Results(record)
    m = record["machine"]
    seconds, rounds = record["seconds"], record["rounds"]
    lines = [BEGIN]
    if plot:
        lines += [f"![requests/s and CPU of all peers behind nginx]({plot})", ""]
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

