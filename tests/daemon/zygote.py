"""Plays the supervisor to a zygote and to the workers that are forked from it."""
import contextlib
import os
import socket

import supervisor
from fcgi import PATIENCE
from supervisor import FORK, FORKED, LOADED, PREPARE_TO_FORK, SERVING, STARTING, STOP


class Worker(supervisor.Supervisor):
    """One that was forked: what a supervisor says to it and hears from it."""

    def __init__(self, zygote, number, slot):
        self.zygote, self.number, self.slot = zygote, number, slot
        for name in "protocol", "path", "listener", "board", "queue", "wakes":
            setattr(self, name, getattr(zygote, name))
        self.worker = zygote.worker  # for its log, and how to reach it
        self.wakes.setdefault(slot, os.eventfd(0, os.EFD_NONBLOCK))
        self.board.set_state(slot, STARTING)
        self.end, given = self.pair()
        self.end.settimeout(PATIENCE)
        zygote.say(FORK, given, slot=slot)
        given.close()
        told = zygote.hear()
        assert (told.type, told.slot) == (FORKED, slot), self.worker.log()
        self.pid, self.error = told.a, told.b

    def serve(self):
        self.greet()
        self.order_to_serve()
        assert self.hear().type == SERVING, self.worker.log()
        return self

    def close(self):
        self.end.close()


class Zygote(supervisor.Supervisor):
    """Starts one and lets it load the application."""

    def __init__(self, *args, wait=True, **more):
        super().__init__(*args, **more)
        self.workers = []
        if wait:
            self.prepare()
            assert self.hear().type == LOADED, self.worker.log()

    def prepare(self):
        self.greet()
        self.say(PREPARE_TO_FORK)

    def fork(self, number=0, slot=None):
        """A worker that has not been greeted yet."""
        self.workers.append(Worker(self, number, 10 + len(self.workers) if slot is None else slot))
        return self.workers[-1]

    def close(self):
        """The zygote must end well when its workers have ended, if it has not ended yet."""
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.say(STOP, a=15)
        super().close()
        for worker in self.workers:
            worker.close()
