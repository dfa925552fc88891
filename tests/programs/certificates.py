# SPDX-License-Identifier: MIT
"""Certificates for tests of TLS, made by openssl."""

import os
import shutil
import subprocess
import tempfile
import unittest

from weirtest import DEADLINE, TestCase

OPENSSL = shutil.which("openssl")
NAMES = "DNS:localhost,IP:127.0.0.1"


def openssl(*args):
    subprocess.run([OPENSSL, *args], check=True, timeout=DEADLINE,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)


def make_certificate(folder, name, ca="ca", names=NAMES, days=30,
                     subject=None, extensions=(), curve="P-256"):
    """NAME.pem and NAME.key, signed by that authority; None: by itself."""
    path = os.path.join(folder, name)
    signer = [] if ca is None else ["-CA", folder + "/%s.pem" % ca, "-CAkey",
                                    folder + "/%s.key" % ca]
    added = ["subjectAltName=" + names] if names else []
    added = [arg for extension in (*added, *extensions)
             for arg in ("-addext", extension)]
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:" + curve, "-nodes", "-keyout", path + ".key",
            "-out", path + ".pem", "-subj", subject or "/CN=" + name, *signer,
            *added, "-days", str(days))


def make_expired_certificate(folder):
    path = os.path.join(folder, "expired")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key",
            "-out", path + ".csr", "-subj", "/CN=expired", "-addext",
            "subjectAltName=" + NAMES)
    openssl("x509", "-req", "-in", path + ".csr", "-CA", folder + "/ca.pem",
            "-CAkey", folder + "/ca.key", "-copy_extensions", "copyall",
            "-days", "-1", "-out", path + ".pem")


def make_crl(folder, name, revoked, ca="ca", hours=24):
    """NAME.crl of that authority, with these certificates."""
    index = os.path.join(folder, name + ".index")
    with open(index, "w", encoding="ascii") as file:
        for one in revoked:
            serial = subprocess.run(
                [OPENSSL, "x509", "-noout", "-serial", "-in",
                 "%s/%s.pem" % (folder, one)], check=True, timeout=DEADLINE,
                stdout=subprocess.PIPE).stdout.decode().strip()
            file.write("R\t491231235959Z\t200101000000Z\t%s\tunknown\t"
                       "/CN=%s\n" % (serial.split("=")[1], one))
    config = os.path.join(folder, name + ".cnf")
    with open(config, "w", encoding="ascii") as file:
        file.write("[ca]\ndefault_ca = a\n[a]\ndatabase = %s\n"
                   "default_md = sha256\n" % index)
    openssl("ca", "-config", config, "-gencrl", "-cert", folder + "/%s.pem" %
            ca, "-keyfile", folder + "/%s.key" % ca, "-crlhours", str(hours),
            "-out", os.path.join(folder, name + ".crl"))


class CertifiedCase(TestCase):
    """Its class has certificates: that of the authority "ca", and "server"."""

    @classmethod
    def setUpClass(cls):
        if not OPENSSL:
            raise unittest.SkipTest("openssl is not installed")
        folder = tempfile.TemporaryDirectory(prefix="f-")
        cls.addClassCleanup(folder.cleanup)
        cls.made = folder.name
        make_certificate(cls.made, "ca", ca=None, names=None)
        make_certificate(cls.made, "server")

    def file(self, name):
        return os.path.join(self.made, name)
