"""Of the loads `lock-*`: figures with targets, and a table of all servers beside each other."""

import statistics

from .report import US, Figure, Results, markdown, per_round, present, ratio, short, table

NAME = "lock"
PATH = "http"
GTHREAD = "gunicorn-gthread"
PEERS = ((US, "wsgi-fcgi"), (GTHREAD, "gunicorn gthread"), ("granian", "granian"), ("uwsgi", "uWSGI"))
RIVALS = PEERS[1:]

# load, key, factor, what it is
MS = 1 / 1000
ROWS = (
    ("lock-behind", "p50_us", MS, "a quick request 4 ms behind a password's hash: median, ms"),
    ("lock-behind", "p90_us", MS, "the same: p90, ms"),
    ("lock-hash1", "rps", 1, "10 ms of pbkdf2, 1 client, /s"),
    ("lock-hash4", "rps", 1, "10 ms of pbkdf2, 4 clients, /s"),
    ("lock-zlib4", "rps", 1, "zlib of 1 MB, 4 clients, /s"),
    ("lock-mix4", "rps", 1, "10 x (sha256 of 64 KiB, 0.5 ms of Python), 4 clients, /s"),
    ("lock-python16", "rps", 1, "5 ms of Python, 16 clients, /s"),
    *(row for load, others in (
        ("lock-beside-python50", "a client of 50 ms of Python"),
        ("lock-beside-python5", "2 clients of 5 ms of Python"),
        ("lock-beside-mix", "2 clients of the mix"),
        ("lock-beside-hash1", "a client of 10 ms of pbkdf2"),
        ("lock-beside-hash16", "16 clients of 10 ms of pbkdf2"),
    ) for row in (
        (load, "p50_us", MS, f"quick beside {others}: p50, ms"),
        (load, "p99_us", MS, "the same: p99, ms"),
        (load, "company_rps", 1, "the same: the others, /s"),
    )),
)  # fmt: skip


def figures(results):
    """As good as gunicorn's threads, which hold nobody back."""

    def to_gthread(load, key):
        return per_round(ratio, results.values(PATH, load, US, key), results.values(PATH, load, GTHREAD, key))

    return [
        Figure("quick 4 ms behind a password's hash: median, wsgi-fcgi / gunicorn gthread", 1, False, "x",
               to_gthread("lock-behind", "p50_us")),
        Figure("10 ms of pbkdf2, 4 clients: calls/s, wsgi-fcgi / gunicorn gthread", 1, True, "x",
               to_gthread("lock-hash4", "rps")),
        Figure("quick beside 16 clients of 10 ms of pbkdf2: p99, wsgi-fcgi / gunicorn gthread", 1, False, "x",
               to_gthread("lock-beside-hash16", "p99_us")),
    ]  # fmt: skip


def measured(results):
    return [row for row in ROWS if any(present(results.values(PATH, row[0], peer, row[1])) for peer, _ in PEERS)]


def median(values, scale=1.0):
    values = present(values)
    return short(statistics.median(values) * scale) if values else "-"


def cells(results, row):
    """Medians of all, and wsgi-fcgi's ratios to the others: medians of the rounds'."""
    load, key, factor, title = row
    ours = results.values(PATH, load, US, key)
    by_peer = [results.values(PATH, load, peer, key) for peer, _ in PEERS]
    ratios = [per_round(ratio, ours, theirs) for theirs in by_peer[1:]]
    return [title, *(median(values, factor) for values in by_peer), *(median(values) for values in ratios)]


def text(record):
    results = Results(record)
    rows = [cells(results, row) for row in measured(results)]
    if not rows:
        return []
    header = ["", *(title for _, title in PEERS), *(f"/ {title}" for _, title in RIVALS)]
    return ["", f"The interpreter lock, one process each, by HTTP; {record.get('hash_rounds')} rounds of pbkdf2 took 10 ms. "
            "On the right wsgi-fcgi's ratio to each", *table(header, rows)]  # fmt: skip


def block(record):
    """Lines for the README."""
    results = Results(record)
    rows = [cells(results, row) for row in measured(results)]
    if not rows:
        return []
    count = len(PEERS)
    header = ["", *(f"{title} (ratio)" if i else title for i, (_, title) in enumerate(PEERS))]
    def with_ratios(row):
        return [*row[:2], *(f"{value} ({part})" for value, part in zip(row[2 : count + 1], row[count + 1 :]))]
    return markdown(header, map(with_ratios, rows))
