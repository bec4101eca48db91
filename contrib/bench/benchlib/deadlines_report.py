"""Of the loads `deadlines-*`: figures with targets, and a table of the calls that do not end and one of what others lose."""

import statistics

from . import loads
from .report import US, Figure, middle, present, ratio, titled_markdown, titled_text

NAME = "deadlines"
PATHS = {"http": "HTTP", "nginx": "nginx"}
MANY = loads.ENDLESS
KINDS = {"deadlines-sleep": f"{MANY} calls asleep", "deadlines-loop1": "a call in a loop", "deadlines-loop": f"{MANY} calls in a loop",
         "deadlines-lock1": "a call with the lock held", "deadlines-lock": f"{MANY} calls with the lock held"}  # fmt: skip
QUIET = ("deadlines-sleep", "deadlines-loop1", "deadlines-loop")  # that others are not to notice
OURS = (US, loads.INTERRUPT, loads.WORKERS)
WAYS = {"kept": "kept connections", "new": "new connections"}
LATE_MS = 100
SLOWER = 2


def samples(record, path, load, peer):
    """What was found in each round that was measured."""
    found = record["samples"].get(path, {}).get(load, {}).get(peer, [])
    return [sample["deadlines"] for sample in found if "deadlines" in sample]


def lost(one, way=None):
    """Quick requests."""
    return sum(sum(sample["lost"].values()) for name, sample in one["beside"].items() if way in (None, name))


def slowed(one, way):
    """p99 beside the others to that alone; None without any answer beside them."""
    if way not in one["beside"] or not one["beside"][way]["good"]:
        return None
    return ratio(one["beside"][way]["p99_us"], one["alone"][way]["p99_us"])


def slowed_most(one):
    return max(present(slowed(one, way) for way in WAYS), default=None)


def lost_by_each(one):
    """Requests that were lost, the early ones of the others among them, for each process that ended."""
    return ratio(lost(one) + one["early"], one["ended"])


def figures(results):
    found = []
    for load, kind in KINDS.items():
        for path, title in PATHS.items():
            for peer in OURS:
                rounds = samples(results.record, path, load, peer)
                where = f"{kind}, {peer}, {title}"
                found.append(Figure(f"{where}: the first one's answer, after the time-out", LATE_MS, False, "ms",
                                    [one["first_ms"] for one in rounds]))  # fmt: skip
                if load in QUIET:
                    found += [
                        Figure(f"{where}: quick requests lost", 0, False, "", [lost(one) for one in rounds]),
                        Figure(f"{where}: quick requests' p99 beside / alone", SLOWER, False, "x",
                               present(map(slowed_most, rounds))),
                    ]  # fmt: skip
    return found


def counts(dicts):
    """How often each came in all rounds: "504 20, closed 3"; the most frequent first."""
    sums = {}
    for one in dicts:
        for name, count in one.items():
            sums[name] = sums.get(name, 0) + count
    return ", ".join(f"{name} {count}" for name, count in sorted(sums.items(), key=lambda item: (-item[1], item[0]))) or "-"


def number(values, form="g"):
    values = present(values)
    return format(statistics.median(values), form) if values else "-"


def places(record, load):
    """(row's title, path, peer) of all that took part, the paths of a peer beneath each other."""
    by_path = {path: record["samples"].get(path, {}).get(load, {}) for path in PATHS}
    peers = dict.fromkeys(peer for by_peer in by_path.values() for peer in by_peer)
    return [(f"{peer}, {PATHS[path]}", path, peer) for peer in peers for path in PATHS if peer in by_path[path]]


ANSWER_HEADER = ["", "what came instead of an answer", "after the time-out, ms: the first", "median", "latest",
                 "before it", "not at all"]  # fmt: skip


def answer_row(title, rounds):
    late = [value for one in rounds for value in one["late_ms"]]
    return [
        title, counts(one["answers"] for one in rounds), number([one["first_ms"] for one in rounds], ".0f"), number(late, ".0f"),
        number([max(late, default=None)], ".0f"),
        str(sum(one["early"] for one in rounds)), str(sum(one["answers"].get("none", 0) for one in rounds)),
    ]  # fmt: skip


LOSS_HEADER = ["", *(f"lost, {title}" for title in WAYS.values()), "of", "how", *(
    f"p99 {title}: alone, ms / beside" for title in WAYS.values()), "processes", "ended", "requests lost with each"]  # fmt: skip


def loss_row(title, rounds):
    def part(way, key, when="beside"):
        return [one[when][way][key] for one in rounds if way in one[when]]

    cells = [title]
    for way in WAYS:
        cells.append(str(sum(lost(one, way) for one in rounds)) if part(way, "lost") else "-")
    cells.append(str(sum(sample["due"] for one in rounds for sample in one["beside"].values())))
    cells.append(counts(sample["lost"] for one in rounds for sample in one["beside"].values()))
    for way in WAYS:
        values = [middle(part(way, "p99_us", when), ".2f", 1 / 1000) for when in ("alone", "beside")]
        times = number([slowed(one, way) for one in rounds], ".1f")
        cells.append(f"{values[0]} / {values[1]} ({times} x)" if values[0] != "-" else "-")
    cells += [number([one["processes"] for one in rounds]), str(sum(one["ended"] for one in rounds))]
    return [*cells, number(map(lost_by_each, rounds), ".1f")]


def failed(title, header):
    return [title, "FAILED", *["-"] * (len(header) - 2)]


def tables(record):
    """(title, header, rows)"""
    found = []
    for load, kind in KINDS.items():
        where = places(record, load)
        whom = "them" if loads.BY_NAME[load].endless > 1 else "it"
        for what, header, row in ((f"what becomes of {whom}", ANSWER_HEADER, answer_row),
                                  ("what others lose", LOSS_HEADER, loss_row)):  # fmt: skip
            rows = [row(title, rounds) if (rounds := samples(record, path, load, peer)) else failed(title, header)
                    for title, path, peer in where]  # fmt: skip
            if rows:
                found.append((f"{kind[0].upper()}{kind[1:]}: {what}", header, rows))
    return found


def text(record):
    return titled_text(tables(record))


def block(record):
    """Lines for the README."""
    return titled_markdown(tables(record))
