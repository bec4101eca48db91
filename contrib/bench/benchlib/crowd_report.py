"""Of the load `crowd`: figures with targets, and a table."""

from .report import MIB, US, Figure, Results, markdown, middle, per_round, present, ratio, table

NAME = "crowd"
LOAD = "crowd"
TITLES = {"fastcgi": "FastCGI", "http": "HTTP"}


def slowed(results, path, peer):
    """By round: p99 of the quick requests beside the crowd to that without it."""
    return per_round(ratio, results.values(path, LOAD, peer, "p99_us"), results.values(path, LOAD, peer, "alone.p99_us"))


def added(results, path, peer, begin, end):
    """Resident bytes, by round."""
    return per_round(lambda more, less: more - less, results.values(path, LOAD, peer, f"crowd.rss.{end}"),
                     results.values(path, LOAD, peer, f"crowd.rss.{begin}"))  # fmt: skip


def per_reader(results, path, peer):
    return per_round(ratio, added(results, path, peer, "alone", "readers"),
                     results.values(path, LOAD, peer, "crowd.begun"))  # fmt: skip


def missing(results, path, peer):
    """Slow readers whose answer did not begin, did not go on, or was cut; by round."""
    return present(results.values(path, LOAD, peer, "crowd.lost"))


def figures(results):
    found = []
    for path, title in TITLES.items():
        found += [
            Figure(f"{title}: quick requests' p99 beside the crowd / alone", 2, False, "x", slowed(results, path, US)),
            Figure(f"{title}: slow readers that were not served, or cut", 0, False, "", missing(results, path, US)),
            Figure(f"{title}: idle connections lost, or sleeping calls that failed", 0, False, "",
                   per_round(lambda lost, wrong: lost + wrong, results.values(path, LOAD, US, "crowd.idle_lost"),
                             results.values(path, LOAD, US, "crowd.sleeping_wrong"))),
        ]  # fmt: skip
    return found


HEADER = ["", "p50 alone, ms", "beside", "p99 alone, ms", "beside", "p99 beside / alone", "readers not served", "idle lost",
          "memory with it, MiB", "added, MiB", "added per slow reader, KiB", "threads"]  # fmt: skip


def rows(record):
    results = Results(record)
    found = []
    for path, title in TITLES.items():
        for peer, rounds in record["samples"].get(path, {}).get(LOAD, {}).items():
            if all("failed" in sample for sample in rounds):
                found.append([f"{peer}, {title}", "FAILED", *["-"] * (len(HEADER) - 2)])
                continue

            def values(key, path=path, peer=peer):
                return results.values(path, LOAD, peer, key)

            lost = any(present(values("crowd.idle_lost")))
            added_all, reader = added(results, path, peer, "alone", "all"), per_reader(results, path, peer)
            found.append([
                f"{peer}, {title}", middle(values("alone.p50_us"), ".2f", 1 / 1000), middle(values("p50_us"), ".2f", 1 / 1000),
                middle(values("alone.p99_us"), ".2f", 1 / 1000), middle(values("p99_us"), ".2f", 1 / 1000),
                middle(slowed(results, path, peer), ".2f"), middle(missing(results, path, peer), ".0f"),
                "yes" if lost else "no", middle(values("crowd.rss.all"), ".0f", 1 / MIB), middle(added_all, ".1f", 1 / MIB),
                middle(reader, ".1f", 1 / 1024), middle(values("threads"), ".0f"),
            ])  # fmt: skip
    return found


def text(record):
    found = rows(record)
    return ["", "The crowd", *table(HEADER, found)] if found else []


def block(record):
    """Lines for the README."""
    found = rows(record)
    return markdown(HEADER, found) if found else []
