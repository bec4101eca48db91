"""Of the soak: a table, JSON, and a block of the README."""

from .report import markdown, table

BEGIN = "<!-- written by contrib/bench/soak --readme: begin -->"
END = "<!-- written by contrib/bench/soak --readme: end -->"
PATHS = {"nginx": "nginx", "http": "HTTP directly", "haproxy": "HAProxy"}
TITLES = {
    "events": "Reloads, and workers replaced by --max-requests and --max-memory",
    "kill": "kill -9 of workers",
    "broken": "Reloads of an application that does not load, and of a program that does not start",
    "binary": "Reloads with a new program file",
}
HEADER = ["server", "path", "requests", "errors", "which", "reloads", "retirements", "by memory", "kills", "called twice",
          "proxy: repeated", "proxy: errors", "requests/s", "p99 ms", "max ms", "not done"]  # fmt: skip


def kinds(record):
    return ", ".join(f"{name} {count}" for name, count in record["errors"].items() if count) or "-"


def lost(record):
    found = [f"{count} {name}" for name, count in record["lost"].items() if count]
    return f" ({', '.join(found)})" if found else ""


def count(record, key):
    """Of how many that were to be; "-": of what this server cannot do, or was not asked to."""
    wanted = record["wanted"].get(key)
    return "-" if wanted is None else f"{record[key]}"


def cells(record):
    if "failed" in record:
        return [record["server"], PATHS[record["path"]], "FAILED", *["-"] * (len(HEADER) - 4), record["failed"].splitlines()[0]]
    proxy = record["proxy"] or {"repeated": "-", "errors": "-"}
    return [record["server"], PATHS[record["path"]], f"{record['requests']:,}", str(sum(record["errors"].values())),
            kinds(record) + lost(record), *(count(record, key) for key in ("reloads", "retirements", "memory", "kills")),
            str(record["twice"]), *(str(proxy[key]) for key in ("repeated", "errors")),
            f"{record['answered'] / record['seconds']:,.0f}", f"{record['p99_us'] / 1000:.1f}", f"{record['max_us'] / 1000:.0f}",
            "; ".join(sorted(set(record["missing"]))) or "-"]  # fmt: skip


def narrow(rows):
    """Header and rows without columns in which nobody has anything."""
    keep = [i for i in range(len(HEADER)) if i < 4 or any(row[i] != "-" for row in rows)]
    return [HEADER[i] for i in keep], [[row[i] for i in keep] for row in rows]


def by_mode(records):
    for mode, title in TITLES.items():
        rows = [cells(record) for record in records if record["mode"] == mode]
        if rows:
            yield title, *narrow(rows)


def text(report):
    lines = [f"{report['date']}: {report['arguments']}"]
    for title, header, rows in by_mode(report["runs"]):
        lines += ["", title, *table(header, rows)]
    for record in report["runs"]:
        for line in (record.get("proxy") or {}).get("sample", []):
            lines.append(f"  {record['server']}, {record['path']}: {line}")
        lines += [f"  {record['server']}, {record['path']}: {line}" for line in record.get("failed", "").splitlines()]
    return "\n".join(lines) + "\n"


def block(report):
    """The README's."""
    lines = [BEGIN]
    for title, header, rows in by_mode(report["runs"]):
        lines += [f"**{title}**", "", *markdown(header, rows), ""]
    m = report["machine"]
    lines += [f"{m['processor']}, {m['cpus']} CPUs shared with the client; {m['system']};", f"{report['date'][:10]}.", END]
    return "\n".join(lines)
