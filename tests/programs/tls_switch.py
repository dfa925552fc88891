# SPDX-License-Identifier: MIT
"""The tests of behaviour once more, with TLS switched in: tests/tls/tls_switch.c
gives the servers a certificate, and tls_proxy is the peer of their clients.  A
test that has a reason in LEFT_OUT is not run."""

import contextlib
import os
import subprocess
import tempfile

import certificates
import weirtest

WORDS = "a client that is refused before its handshake gets no words"
PROXY = "the peer of the server is tls_proxy"
NETWORK = "it enters a network in which tls_proxy is not"
EARLY = "a client may be gone before its handshake is over"
DETACHES = "a descriptor with TLS cannot be taken away"
LATER = "what a client did reaches the server some time after its call"
BYTES = "it counts bytes, segments or buffers of the wire"

# Program: why all its tests are left out.
PROGRAMS = {
    "check_admission": WORDS,
    "check_detaching": DETACHES,
    "check_half_closes": LATER,
    "check_layer": "it has a layer of its own",
    "check_meeting_oneself": NETWORK,
    "check_outbox_total": BYTES,
    "check_overload": WORDS,
    "check_proxy": "PROXY headers come before TLS",
    "check_session_stops": BYTES,
    "check_stop_under_load": NETWORK,
    "check_stuck": PROXY,
}
# Test: why it is left out.
LEFT_OUT = {
    "a_callback_that_runs_for_very_long_is_named_once": PROXY,
    "a_connection_knows_its_number_and_addresses": PROXY,
    "a_dialled_connection_knows_both_ends": PROXY,
    "a_parked_connection_is_shown_with_its_counts": PROXY,
    "a_part_is_not_taken_for_the_whole": DETACHES,
    "a_queue_becomes_shorter_and_its_age_lower": WORDS,
    "a_refused_client_is_counted_where_it_came": WORDS,
    "a_socket_can_be_taken_when_a_deadline_has_passed": DETACHES,
    "a_stop_in_a_shortage_that_keeps_nobody_waiting_ends_early": WORDS,
    "an_inherited_socket_is_served_with_clients_that_wait_there":
        "clients connect before it is known that the server uses TLS",
    "an_ipv4_peer_of_a_dual_stack_listener_reads_as_ipv4": PROXY,
    "an_upstream_that_resets_ends_the_client": DETACHES,
    "every_end_closes_and_drops_once": EARLY,
    "five_hundred_lives_leave_nothing":
        "the memory of OpenSSL grows until a thousand contexts were made",
    "half_sent_sessions_hold_their_workers_and_the_rest_is_refused": WORDS,
    "held_clients_are_refused_as_soon_as_the_server_refuses": WORDS,
    "nothing_is_called_before_there_is_something_to_read": EARLY,
    "small_writes_of_one_callback_leave_in_one_piece": BYTES,
    "stuck_callbacks_are_named_in_the_log": PROXY,
    "the_address_of_a_peer_that_has_gone_is_known": PROXY,
    "the_last_reply_arrives_whole_after_unread_input": NETWORK,
    "the_last_reply_arrives_whole_while_more_input_comes": NETWORK,
    "the_last_reply_of_a_session_arrives_whole": NETWORK,
    "the_path_of_a_listener_without_copies_is_removed":
        "a Unix socket that is passed on gets TLS, but its clients do not",
    "threads_configure_at_once_under_load_and_in_a_stop": WORDS,
    "what_has_come_in_time_is_told_before_a_drain": LATER,
    "what_is_passed_is_copied": WORDS,
    "what_other_threads_send_arrives_at_once":
        "a worker encrypts it, and none is free",
    "one_that_is_cut_at_the_deadline_leaves_its_descriptor_to_others": WORDS,
    "a_client_that_is_in_the_queue_at_the_deadline_is_told": WORDS,
    "a_client_that_is_in_the_queue_is_told_of_a_stop_without_grace": WORDS,
    "one_that_lingers_at_the_deadline_leaves_its_descriptor_to_others": WORDS,
    "a_client_that_waits_in_a_shortage_is_told_of_the_stop": WORDS,
    "without_descriptors_clients_are_refused_if_so_configured": WORDS,
}


def why_not():
    if not certificates.OPENSSL:
        return "openssl is not installed"
    return weirtest.why_not_preloaded("WEIR_TLS_SWITCH")


def folder():
    top = os.path.join(os.path.dirname(weirtest.program("WEIR_SERVER")), "..")
    return os.path.join(top, "tests", "behaviour", ".libs")


def programs():
    return sorted(name for name in os.listdir(folder())
                  if name.startswith("check_") and name not in PROGRAMS)


@contextlib.contextmanager
def switched_on():
    """The environment of tests."""
    with tempfile.TemporaryDirectory() as tmp, subprocess.Popen(
            [os.environ["WEIR_TLS_PROXY"]], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE) as proxy:
        certificates.make_certificate(tmp, "server", ca=None)
        with open(tmp + "/pair", "w") as pair:
            for suffix in ".pem", ".key":
                with open(tmp + "/server" + suffix) as part:
                    pair.write(part.read())
        with open(tmp + "/map", "wb") as ports:
            ports.write(bytes(65536))
        yield dict(os.environ,
                   LD_LIBRARY_PATH=weirtest.shared_libraries(),
                   LD_PRELOAD=os.environ["WEIR_TLS_SWITCH"],
                   TLS_SWITCH_MAP=tmp + "/map",
                   TLS_SWITCH_PAIR=tmp + "/pair",
                   TLS_SWITCH_PORT=proxy.stdout.readline().decode().strip(),
                   WEIR_TEST_SKIP=" %s " % " ".join(LEFT_OUT),
                   WEIR_TEST_SLOW="2")


def run(name, env):
    """None, or what the test program has printed."""
    done = subprocess.run([os.path.join(folder(), name)], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.stdout.decode(errors="replace") if done.returncode else None
