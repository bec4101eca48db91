"""A machine that systemd has booted: a copy of a chroot, in namespaces of its own, without a network but loopback."""
import os
import shutil
import signal
import subprocess
import time

BOOT_SECONDS = 120
COMMAND_SECONDS = 300
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive"}


class Machine:
    def __init__(self, chroot, fetched, directory):
        """`fetched` has packages that its apt can install. `directory` is made, on the file system of the chroot."""
        self.directory = str(directory)
        subprocess.run(["cp", "-a", "--reflink=auto", chroot, self.directory], check=True)
        shutil.rmtree(os.path.join(self.directory, "src"))  # what the chroot was made with
        # With the documentation, which the package has examples in; a copy needs no waiting for the disk.
        with open(os.path.join(self.directory, "etc/dpkg/dpkg.cfg.d/wsgi-fcgi"), "w") as file:
            file.write("force-unsafe-io\n")
        self.log = self.directory + ".log"
        with open(self.log, "wb") as log:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
                 "--machine=wsgi-fcgi-deb", "--bind=%s:/var/cache/apt/archives" % fetched,
                 "--directory", self.directory, "--boot"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.leader = None
        try:
            self.until(self.is_booted, "the machine to boot", BOOT_SECONDS)
        except BaseException:
            self.stop()
            raise

    def is_booted(self):
        assert self.nspawn.poll() is None, self.said()
        self.leader = self.leader or self.process_1()
        if not self.leader:
            return False
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def process_1(self):
        """The child of systemd-nspawn, once it executes systemd: then it is where it belongs."""
        try:
            with open("/proc/%d/task/%d/children" % (self.nspawn.pid, self.nspawn.pid)) as file:
                child = file.read().strip()
            with open("/proc/%s/comm" % child) as file:
                return child if file.read() == "systemd\n" else None
        except OSError:
            return None

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-4000:]

    def until(self, done, what, seconds=60):
        end = time.monotonic() + seconds
        while True:
            found = done()
            if found:
                return found
            assert time.monotonic() < end, "waited for %s\n%s" % (what, self.said())
            time.sleep(0.05)

    def entering(self, *command):
        return ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wdns=/",
                "env", "-i", *("%s=%s" % pair for pair in ENVIRONMENT.items()), *command]

    def run(self, *command, check=True):
        """Its output and messages are one text."""
        done = subprocess.run(self.entering(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=COMMAND_SECONDS)
        assert not check or done.returncode == 0, "%s: status %d\n%s" % (
            " ".join(command), done.returncode, done.stdout)
        return done

    def said_by(self, *command, check=True):
        return self.run(*command, check=check).stdout.strip()

    def path(self, path):
        """What the machine has there, for this process. Below /run, /tmp and the like that is in mounts of its own."""
        return "/proc/%s/root%s" % (self.leader, path)

    def exists(self, path):
        """Whether there is something of that name, be it a link to nowhere."""
        return os.path.lexists(self.path(path))

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w") as file:
            file.write(text)

    def stop(self):
        """systemd-nspawn has systemd end the machine when it is told to end."""
        self.nspawn.send_signal(signal.SIGTERM)
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        shutil.rmtree(self.directory)
        os.remove(self.log)
