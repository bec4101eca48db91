"""Of the loads `processes-*`: figures with targets, and two tables."""

from .loads import FORMS, MODULE, WORKERS
from .report import MIB, Figure, Results, middle, per_round, present, ratio, titled_markdown, titled_text

NAME = "processes"
PATHS = {"http": "HTTP", "fastcgi": "FastCGI", "nginx": "nginx"}
RIVALS = ("uwsgi", "bjoern", "granian", "gunicorn-gthread", "pyvoy")
PEERS = (WORKERS, *FORMS, *RIVALS, "fastwsgi")  # the last one does not call close()
FRAMEWORKS = {"processes-flask": "Flask", "processes-django": "Django"}
LEVEL = "processes-level"
PSS = "memory.after.pss"


def to_best(results, load, peer):
    """By round: the rate of this one to that of the best other one. A round in which one of them failed has the best of the
    rest."""
    ours = results.values("nginx", load, peer, "rps")
    others = [results.values("nginx", load, peer, "rps") for peer in RIVALS]
    best = [max(present(values), default=None) for values in zip(*filter(None, others))]
    return per_round(ratio, ours, best)


def to_program(results, load):
    """By round: CPU time of a request with the module, to that with the program."""
    return per_round(ratio, *(results.values("nginx", load, peer, "cpu_us") for peer in (MODULE, WORKERS)))


def shared(results, peer):
    """By round: memory of four processes to that of one."""
    return per_round(ratio, results.values("nginx", "processes-django-four", peer, PSS),
                     results.values("nginx", "processes-django-one", peer, PSS))  # fmt: skip


def figures(results):
    level = [
        Figure(f"quick beside a computing call, two workers, {title}: p99", 1.5, False, "ms",
               [value / 1000 for value in present(results.values(path, LEVEL, WORKERS, "p99_us"))])
        for path, title in PATHS.items()
    ]  # fmt: skip
    return [
        *(Figure(f"{title} behind nginx, a process for each processor: requests/s, {peer} / the best of the others", 1.1, True,
                 "x", to_best(results, load, peer)) for load, title in FRAMEWORKS.items() for peer in (MODULE, WORKERS)),
        Figure("Django behind nginx: CPU per request, the module / the program with the shared library", 0.85, False, "x",
               to_program(results, "processes-django")),
        Figure("four preloaded Django workers / one: memory (PSS)", 1.6, False, "x", shared(results, WORKERS)),
        *level,
    ]  # fmt: skip


HELLO_HEADER = ["", *(f"{title}, {what}" for title in FRAMEWORKS.values() for what in ("requests/s", "CPU us", "p99 ms")),
                "Django, 1 process: MiB (PSS)", "4 processes", "4 / 1"]  # fmt: skip
LEVEL_HEADER = ["", "p50 ms", "p99 ms", "p99.9 ms", "computing calls/s"]


def row_or_failure(name, cells):
    return [name, *cells] if any(cell != "-" for cell in cells) else None


def hello_rows(results):
    rows = []
    for peer in PEERS:

        def cell(load, key, form, scale=1.0, peer=peer):
            return middle(results.values("nginx", load, peer, key), form, scale)

        cells = [cell(load, *how) for load in FRAMEWORKS
                 for how in (("rps", ",.0f"), ("cpu_us", ".0f"), ("p99_us", ".1f", 1 / 1000))]  # fmt: skip
        cells += [cell("processes-django-one", PSS, ".0f", 1 / MIB), cell("processes-django-four", PSS, ".0f", 1 / MIB),
                  middle(shared(results, peer), ".2f")]  # fmt: skip
        rows.append(row_or_failure(peer, cells))
    return [row for row in rows if row]


def level_rows(results):
    rows = []
    for path, title in PATHS.items():
        for peer in PEERS:

            def cell(key, form, scale=1.0, path=path, peer=peer):
                return middle(results.values(path, LEVEL, peer, key), form, scale)

            rows.append(row_or_failure(f"{peer}, {title}", [
                cell("p50_us", ".2f", 1 / 1000), cell("p99_us", ".2f", 1 / 1000), cell("p999_us", ".2f", 1 / 1000),
                cell("company_rps", ".1f"),
            ]))  # fmt: skip
    return [row for row in rows if row]


def tables(record):
    results = Results(record)
    parts = (("Frameworks behind nginx, a process for each processor", HELLO_HEADER, hello_rows(results)),
             ("Quick requests to two processes, beside one call of 50 ms of Python", LEVEL_HEADER, level_rows(results)))  # fmt: skip
    return [part for part in parts if part[2]]


def text(record):
    return titled_text(tables(record))


def block(record):
    """Lines for the README."""
    return titled_markdown(tables(record))
