"""What /proc says about a process and about the machine."""

import os
import platform
import re

TICK = os.sysconf("SC_CLK_TCK")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def cpu_seconds(pid):
    """User and system time of all threads, those that have ended included."""
    # The command's name, in parentheses, may hold blanks and parentheses itself.
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def thread_count(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def memory(pid):
    """Bytes: resident, proportional share, private."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup"), re.M))
    return {
        "rss": int(fields["Rss"]) * 1024,
        "pss": int(fields["Pss"]) * 1024,
        "private": (int(fields["Private_Clean"]) + int(fields["Private_Dirty"])) * 1024,
    }


def somaxconn():
    return int(read("/proc/sys/net/core/somaxconn"))


def machine():
    model = re.search(r"^model name\s*:\s*(.+)$", read("/proc/cpuinfo"), re.M)
    total = re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.M)
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(total.group(1)) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "load_average": os.getloadavg()[0],
        "somaxconn": somaxconn(),
    }
