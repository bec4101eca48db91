"""What /proc says about processes and about the machine."""

import os
import platform
import re
import time

TICK = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def stat(pid):
    """The fields of /proc/PID/stat from the third on, the state."""
    # The command's name, in parentheses, may hold blanks and parentheses itself.
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def tree(pid):
    """The process and all that descend from it."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(stat(name)[1]), []).append(int(name))
            except GONE:
                pass
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def start_time(pid):
    """Tells a process from a later one of the same number; None when there is none."""
    try:
        return stat(pid)[19]
    except GONE:
        return None


def has_ended(pid):
    """Also when its parent has not asked for its status yet."""
    try:
        return stat(pid)[0] in "ZX"
    except GONE:
        return True


def total(function, pids):
    """The sum over those that are still there."""
    result = 0
    for pid in pids:
        try:
            result += function(pid)
        except (*GONE, OSError):  # the clock of a process that is gone: EINVAL
            pass
    return result


def process_clock(pid):
    """The id of a process' CPU clock, as clock_getcpuclockid(3) makes it: nanoseconds, ended threads included."""
    return (~pid << 3) | 2


def cpu_seconds(pids):
    """User and system time of all threads, and of children that have ended and were waited for."""

    def spent(pid):
        children = sum(int(field) for field in stat(pid)[13:15]) / TICK
        return time.clock_gettime(process_clock(pid)) + children

    return total(spent, pids)


def usage(pids):
    """Resident bytes and threads, read without stopping the processes as smaps_rollup does."""
    rss = threads = 0
    for pid in pids:
        try:
            fields = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", read(f"/proc/{pid}/status"), re.M))
        except GONE:
            continue
        rss += int(fields.get("VmRSS", 0)) * 1024
        threads += int(fields.get("Threads", 0))
    return {"rss": rss, "threads": threads}


def memory(pids):
    """Bytes: resident, proportional share, private."""
    sums = {"rss": 0, "pss": 0, "private": 0}
    for pid in pids:
        try:
            fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup"), re.M))
        except GONE:
            continue
        if "Rss" not in fields:
            continue
        sums["rss"] += int(fields["Rss"]) * 1024
        sums["pss"] += int(fields["Pss"]) * 1024
        sums["private"] += (int(fields["Private_Clean"]) + int(fields["Private_Dirty"])) * 1024
    return sums


def somaxconn():
    return int(read("/proc/sys/net/core/somaxconn"))


def cpu_count():
    return len(os.sched_getaffinity(0))


def machine():
    model = re.search(r"^model name\s*:\s*(.+)$", read("/proc/cpuinfo"), re.M)
    size = re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.M)
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cpus": cpu_count(),
        "memory_mib": int(size.group(1)) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "load_average": os.getloadavg()[0],
        "somaxconn": somaxconn(),
    }
