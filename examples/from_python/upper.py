#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""upper.py [ADDRESS]: answers each line in capitals, with libweir through
ctypes.  Lines of standard input are sent to all clients."""

import ctypes
import errno
import os
import signal
import sys
import threading
import traceback
from ctypes import byref, c_char_p, c_int, c_size_t, c_ssize_t, c_void_p

WEIR_CLOSE, WEIR_AGAIN, WEIR_SIGNALS = 0, 2000000001, 1

HANDLER = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
CLOSED = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class Config(ctypes.Structure):
    """The first fields of struct weir_config, in its order."""
    _fields_ = [("size", c_size_t), ("exact", c_int), ("workers", c_int),
                ("queue_length", c_int), ("queue_age_ms", c_int),
                ("max_connections", c_int), ("max_dialled", c_int),
                ("overload", c_int), ("outbox_total", c_size_t),
                ("affinity", c_int), ("lame_duck_ms", c_int),
                ("drain_ms", c_int), ("log_level", c_int),
                ("refusal", c_char_p), ("stack_size", c_size_t)]


class Service(ctypes.Structure):
    """The first fields of struct weir_service, in its order."""
    _fields_ = [("size", c_size_t), ("exact", c_int), ("session", HANDLER),
                ("readable", HANDLER), ("opened", HANDLER),
                ("expired", HANDLER), ("closed", CLOSED)]


def check(result, function, _):
    """A result below 0 is -errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result), function.__name__)
    return result


def declare(library, name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    if result in (c_int, c_ssize_t):
        function.errcheck = check
    return function


def load():
    """The calls that this program makes.  Without argtypes ctypes would pass
    pointers as int, which has half their size."""
    library = ctypes.CDLL("libweir.so.0")
    server, conn, ref = c_void_p, c_void_p, c_void_p
    for row in (
            ("weir_server_new", c_int, ctypes.POINTER(server),
             ctypes.POINTER(Config)),
            ("weir_server_listen", c_int, server, c_char_p,
             ctypes.POINTER(Service)),
            ("weir_server_address", c_int, server, c_int, c_char_p, c_size_t),
            ("weir_server_run", c_int, server, ctypes.c_uint),
            ("weir_server_free", None, server),
            ("weir_conn_read_line", c_ssize_t, conn, c_char_p, c_size_t),
            ("weir_conn_write", c_int, conn, c_char_p, c_size_t),
            ("weir_conn_id", ctypes.c_uint64, conn),
            ("weir_conn_ref", ref, conn),
            ("weir_ref_send", c_int, ref, c_char_p, c_size_t),
            ("weir_ref_unref", None, ref)):
        declare(library, *row)
    return library


weir = load()
members, lock = {}, threading.Lock()


def handler(function):
    """A callback.  An OSError becomes the verdict -errno: BlockingIOError waits
    for input.  Any other exception fails the connection."""
    def call(conn, _):
        try:
            return function(conn)
        except OSError as error:
            return -error.errno
        except BaseException:
            traceback.print_exc()
            return -errno.ECANCELED
    return HANDLER(call)


@handler
def opened(conn):
    with lock:
        members[weir.weir_conn_id(conn)] = weir.weir_conn_ref(conn)
    return WEIR_AGAIN


@handler
def readable(conn):
    line = ctypes.create_string_buffer(4096)
    while (n := weir.weir_conn_read_line(conn, line, len(line))) > 0:
        weir.weir_conn_write(conn, line.raw[:n].upper(), n)
    return WEIR_CLOSE


@CLOSED
def closed(conn, _):
    with lock:
        weir.weir_ref_unref(members.pop(weir.weir_conn_id(conn)))


def tell_everybody():
    """Runs in a thread of Python.  It reads descriptor 0: a thread that still
    waits when the program ends must not hold the lock of sys.stdin."""
    for line in open(0, "rb", buffering=0):
        with lock:
            for ref in members.values():
                try:
                    weir.weir_ref_send(ref, line, len(line))
                except OSError:
                    pass  # it has ended, or does not read


def serve(where):
    config = Config(size=ctypes.sizeof(Config), workers=2, stack_size=8 << 20)
    service = Service(size=ctypes.sizeof(Service), opened=opened,
                      readable=readable, closed=closed)
    server, text = c_void_p(), ctypes.create_string_buffer(160)

    # Blocked in all threads, so that weir_server_run() takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    weir.weir_server_new(byref(server), byref(config))
    weir.weir_server_listen(server, where.encode(), byref(service))
    weir.weir_server_address(server, 0, text, len(text))
    print("listening on", text.value.decode(), flush=True)
    threading.Thread(target=tell_everybody, daemon=True).start()
    weir.weir_server_run(server, WEIR_SIGNALS)
    weir.weir_server_free(server)


if __name__ == "__main__":
    serve(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:1234")
