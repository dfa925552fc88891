#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A relay in front of an echo server: weir-server, HAProxy or the stream module
of nginx, with the command line of the servers and --to PORT.  The name that it
is installed under chooses which."""

import argparse
import os
import shutil
import socket
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"  # Debian's

HAPROXY = """
global
    nbthread {threads}
    maxconn 5000
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen relay
    bind 127.0.0.1:{port}
    server upstream 127.0.0.1:{to}
"""

NGINX = """
{module}
daemon off;
worker_processes {threads};
pid {folder}/pid;
error_log stderr emerg;
events {{ worker_connections 10000; }}
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass 127.0.0.1:{to};
    }}
}}
"""


def weir(_folder, **how):
    return [os.path.join(HERE, "..", "..", "server", "weir-server"),
            "--workers", how["threads"], "--max-connections", "5000",
            "--to", "127.0.0.1:" + how["to"], "relay@127.0.0.1:" + how["port"]]


def written(folder, text, **how):
    path = os.path.join(folder, "config")
    with open(path, "w", encoding="ascii") as file:
        file.write(text.format(folder=folder, **how))
    return path


def haproxy(folder, **how):
    return [shutil.which("haproxy"), "-db", "-f",
            written(folder, HAPROXY, **how)]


def nginx(folder, **how):
    module = f"load_module {STREAM};" if os.path.exists(STREAM) else ""
    return [shutil.which("nginx"), "-e", "stderr", "-c",
            written(folder, NGINX, module=module, **how)]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def tell_when_it_listens(port, folder):
    """In a process of its own, as this one becomes the relay."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                print("listening", port, flush=True)
                break
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main():
    p = argparse.ArgumentParser()
    for name in ("--port", "--threads", "--to"):
        p.add_argument(name, required=True)
    args = p.parse_args()
    port = int(args.port) or free_port()
    folder = tempfile.mkdtemp()
    make = {"relay_weir": weir, "relay_haproxy": haproxy,
            "relay_nginx": nginx}[os.path.basename(__file__)]
    command = make(folder, threads=args.threads, to=args.to, port=str(port))
    tell_when_it_listens(port, folder)
    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.execv(command[0], command)


main()
