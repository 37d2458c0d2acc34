"""Real git servers on the loopback interface, for as long as a test needs them: git daemon, smart HTTP, sshd.

Each listens on a port that the system chose and starts the real program for each connection, as inetd does, so that no
port is raced for and nothing has to be waited for.
"""

from __future__ import annotations

import http.server
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import require, run

HOST = "127.0.0.1"


@contextmanager
def git_daemon(base: Path, *settings: str) -> Iterator[str]:
    """A git daemon for the repositories below ``base``, with pushes allowed; its URL, without a last slash.
    ``settings`` (``key=value``) are git's for whatever it starts."""
    require(exec_path("git-daemon"), "git daemon")
    words = ["git", *(word for setting in settings for word in ("-c", setting)), "daemon", "--inetd"]
    with _inetd([*words, f"--base-path={base}", "--export-all", "--enable=receive-pack"]) as port:
        yield f"git://{HOST}:{port}"


@dataclass(frozen=True)
class SshLogin:
    """Where ssh goes for a name of a host, as whom, and with which key."""

    port: int
    account: str
    key: Path


def make_key(path: Path) -> None:
    """Makes a pair of ssh keys, ``path`` and ``path``.pub."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path)


@contextmanager
def sshd(place: Path, authorized_keys: str | Path, *, umask: int = -1) -> Iterator[int]:
    """An sshd with a host key of its own in ``place``; the port. ``authorized_keys`` is as in sshd_config(5), ``umask``
    that of whatever it starts (-1: that of this process)."""
    program = shutil.which("sshd", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
    require(program and shutil.which("ssh"), "an OpenSSH server and client")
    assert program
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)  # sshd demands it, and the system makes it at boot
    if not (place / "host").exists():
        make_key(place / "host")
    settings = {
        "HostKey": place / "host",
        "AuthorizedKeysFile": authorized_keys,
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PidFile": "none",
        "AcceptEnv": "GIT_PROTOCOL",
        "SetEnv": f'"PATH={os.environ["PATH"]}"',
        "LogLevel": "QUIET",
        "UseDNS": "no",
        "PrintMotd": "no",
        "PrintLastLog": "no",
    }
    (place / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    with _inetd([program, "-i", "-f", str(place / "sshd_config")], umask) as port:
        yield port


def ssh_command(place: Path, hosts: Mapping[str, SshLogin]) -> str:
    """The value of GIT_SSH_COMMAND that goes to servers with the host key of ``place``, under the names given here."""
    host_key = " ".join((place / "host.pub").read_text().split()[:2])
    (place / "known_hosts").write_text(f"* {host_key}\n")
    common = {
        "HostName": HOST,
        "UserKnownHostsFile": place / "known_hosts",
        "GlobalKnownHostsFile": "none",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "BatchMode": "yes",
        "GSSAPIAuthentication": "no",
        "KexAlgorithms": "curve25519-sha256",  # half the time of the default one
    }
    config = ""
    for name, login in hosts.items():
        own = {"Port": login.port, "User": login.account, "IdentityFile": login.key}
        config += f"Host {name}\n" + "".join(f"  {key} {value}\n" for key, value in {**own, **common}.items())
    (place / "ssh_config").write_text(config)
    return f"ssh -F {place / 'ssh_config'}"


class HttpServer:
    """A running smart HTTP server. ``lose_replies`` counts the answers to coming pushes that will be lost."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.lose_replies = 0


@contextmanager
def http_server(base: Path) -> Iterator[HttpServer]:
    """``git http-backend`` behind a small web server, for the repositories below ``base``; everybody may push."""
    require(exec_path("git-http-backend") and exec_path("git-remote-http"), "git's smart HTTP server and client")
    with _listening(http.server.ThreadingHTTPServer((HOST, 0), _Backend)) as server:
        told = HttpServer(f"http://{HOST}:{server.server_address[1]}")
        server.base, server.told = base, told  # type: ignore[attr-defined]
        yield told


class _Backend(http.server.BaseHTTPRequestHandler):
    """Runs ``git http-backend`` as a CGI program (git-http-backend(1))."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self._serve(body)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _serve(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        server: Any = self.server
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(server.base),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "somebody",  # who is named may push
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=True)
        if path.endswith("/git-receive-pack") and body != b"0000" and server.told.lose_replies:
            server.told.lose_replies -= 1
            self.close_connection = True
            return
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def _inetd(words: Sequence[str], umask: int = -1) -> Iterator[int]:
    """Starts a program for each connection, the connection being its input and output; the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            streams = {"stdin": self.request, "stdout": self.request, "stderr": subprocess.DEVNULL}
            subprocess.run(words, check=False, umask=umask, **streams)

    with _listening(socketserver.ThreadingTCPServer((HOST, 0), Handler)) as server:
        yield server.server_address[1]


@contextmanager
def _listening(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def exec_path(program: str) -> str | None:
    """Where git has one of its own programs, None if it has it not."""
    return shutil.which(program, path=run("git", "--exec-path").stdout.strip())
