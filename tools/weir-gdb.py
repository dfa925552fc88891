# SPDX-License-Identifier: MIT
"""For gdb: the sessions that wait, in a process or a core file.

    gdb -p PID -x tools/weir-gdb.py -ex weir-sessions

A session that waits is in no thread, so `info threads` does not show it.  This
command does: its connection, service, what it waits for and how long, and its
backtrace.  It needs the debug information of the library, and changes nothing
in the process.
"""

import functools
import ipaddress
import re
import time

import gdb
import gdb.unwinder

# pc, sp, fp
REGISTERS = {
    "i386:x86-64": ("rip", "rsp", "rbp"),
    "aarch64": ("pc", "sp", "x29"),
}


SLAB_SLOTS = 256  # WR_SLAB_SLOTS


@functools.lru_cache(None)
def names_of(enum):
    """The constants of an enum by value, without their prefix."""
    fields = gdb.lookup_type(enum).fields()
    return {field.enumval: field.name.split("_", 2)[2].lower()
            for field in fields}


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class ParkedStack(gdb.unwinder.Unwinder):
    """Makes the frames of a stack the callers of the selected thread's
    innermost frame, so that `backtrace` shows them."""

    def __init__(self):
        super().__init__("weir parked stack")
        self.frame = self.innermost = None
        gdb.unwinder.register_unwinder(None, self, replace=True)

    def __call__(self, pending):
        names = REGISTERS.get(pending.architecture().name())
        if self.frame is None or names is None:
            return None
        pc, sp = (pending.read_register(name) for name in names[:2])
        if int(sp) != self.innermost:
            return None
        # gdb ends a backtrace at a frame that is inside of the one before.
        inside = gdb.Value(int(self.frame["sp"]) - 64).cast(sp.type)
        info = pending.create_unwind_info(FrameId(inside, pc))
        for name, field in zip(names, ("pc", "sp", "fp")):
            old = pending.read_register(name)
            value = gdb.Value(int(self.frame[field])).cast(old.type)
            info.add_saved_register(name, value)
        return info

    def backtrace(self, frame):
        self.innermost = int(gdb.newest_frame().read_register("sp"))
        self.frame = frame
        gdb.invalidate_cached_frames()
        try:
            text = gdb.execute("backtrace", to_string=True)
        finally:
            self.frame = None
            gdb.invalidate_cached_frames()
        return re.sub(r"(?ms)\A.*?^(?=#1 )", "", text)


def acceptors():
    """The acceptor of each server, found by its thread."""
    selected = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        frame = gdb.newest_frame()
        while frame and frame.name() != "acceptor_main":
            frame = frame.older()
        if frame:
            arg = frame.read_var("arg" if frame.read_var("a").is_optimized_out
                                 else "a")
            kind = gdb.lookup_type("struct wr_acceptor").pointer()
            yield arg.cast(kind).dereference()
    selected.switch()


def connections(table):
    for i in range(int(table["slab_count"])):
        for k in range(SLAB_SLOTS):
            yield (table["slabs"][i] + k).dereference()


def peer_of(conn):
    if int(conn["peer"]["len"]) == 0:
        return "a peer"
    peer = conn["peer"]["addr"]
    family = int(peer["sa"]["sa_family"])
    if family == 2:
        size, where = 4, peer["in"]["sin_addr"]
        port = int(peer["in"]["sin_port"])
    else:
        size, where = 16, peer["in6"]["sin6_addr"]
        port = int(peer["in6"]["sin6_port"])
    raw = gdb.selected_inferior().read_memory(int(where.address), size)
    port = (port & 0xff) << 8 | port >> 8
    address = ipaddress.ip_address(bytes(raw))
    return ("%s:%d" if size == 4 else "[%s]:%d") % (address, port)


def origin_of(conn):
    """A spawned session has no peer."""
    return "" if conn["is_spawned"] else "from %s " % peer_of(conn)


def service_of(conn):
    service = conn["service"].dereference()
    handler = re.search(r"<(.*)>", str(service["set"]["session"]))
    where = service["where"]
    return "%s, session %s" % (
        "at " + where.string() if int(where) else "of the program",
        handler[1] if handler else "")


def now_ns(acceptor):
    """The time: of this machine, or of the last event in a core file."""
    if gdb.selected_inferior().connection.type == "native":
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    pool = acceptor["pool"].dereference()
    return max([int(acceptor["ctx"]["now"])] +
               [int(pool["workers"][i]["ctx"]["now"])
                for i in range(int(pool["count"]))])


class Sessions(gdb.Command):
    """weir-sessions [-brief] [CONNECTION]: the sessions that wait.

With -brief without backtraces; with the number of a connection only this one.
"""

    def __init__(self):
        super().__init__("weir-sessions", gdb.COMMAND_STACK)
        self.stack = ParkedStack()

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        wanted = [int(word) for word in words if word != "-brief"]
        found = list(acceptors())
        if not found:
            raise gdb.GdbError("no server: acceptor_main() is in no backtrace; "
                               "does gdb know the C library's frames?")
        shown = 0
        for acceptor in found:
            core = acceptor["core"].dereference()
            now = now_ns(acceptor)
            for conn in connections(core["table"].dereference()):
                if not wanted or int(conn["id"]) in wanted:
                    shown += self.show(conn, now, "-brief" not in words)
        if not shown:
            print("no session waits")

    def show(self, conn, now, has_backtrace):
        """Returns whether it is a session that waits."""
        place = names_of("enum wr_where").get(int(conn["where"]))
        if place not in ("parked", "ready") or not int(conn["coro"]):
            return False
        coro = conn["coro"].dereference()
        print("connection %d %s%s: %s for %.1f s, waits for %s" % (
            int(conn["id"]), origin_of(conn), service_of(conn), place,
            (now - int(coro["parked_at"])) / 1e9,
            names_of("enum wr_wait")[int(conn["wait_for"])]))
        if has_backtrace:
            print(self.stack.backtrace(coro["frame"]))
        return True


Sessions()
