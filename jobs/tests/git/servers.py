"""Git servers for tests: git's own http-backend behind HTTP, and its upload-pack behind ssh."""

import base64
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paramiko

TOKEN = "a-token-of-the-team"


def git(folder: Path, *words: str) -> str:
    """Runs git in a folder, with no settings of this machine's, and returns what it prints."""
    name = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *name, *words],
        capture_output=True,
        text=True,
        check=True,
        env=quiet,
    )
    return done.stdout.strip()


def committed(folder: Path, files: dict[str, str], message: str = "next") -> str:
    """Commits these files beside those that are there, and returns the commit's hash."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


class Backend(BaseHTTPRequestHandler):
    """Hands each request to `git http-backend`, as a web server does."""

    root: Path
    token = ""
    status = 0
    oldest = False

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Answers as the test asked for, or as git does."""
        wanted = base64.b64encode(f"git:{self.token}".encode()).decode()
        if self.token and self.headers.get("authorization") != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        if self.status:
            self.send_error(self.status)
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": "" if self.oldest else self.headers.get("git-protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def chunks(self) -> Iterator[bytes]:
        """Yields the parts of a body that comes without its length."""
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


class QuietServer(ThreadingHTTPServer):
    """A server that prints nothing of a client who does not trust it."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def http_server(
    root: Path, context: ssl.SSLContext | None = None, **answers: object
) -> Iterator[str]:
    """The URL of a server of the repositories below `root`; `answers` as `Backend` has them."""
    handler = type("Handler", (Backend,), {"root": root, **answers})
    server = QuietServer(("127.0.0.1", 0), handler)
    if context:
        # The handshake is the handler's thread's, which closes what fails.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Entrance(paramiko.ServerInterface):
    """Lets one key in, and runs git-upload-pack for it."""

    def __init__(self, key: paramiko.PKey, root: Path) -> None:
        self.key, self.root = key, root

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        is_known = username == "git" and key == self.key
        return paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: object, name: bytes, value: bytes) -> bool:
        self.protocol = value.decode()
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self.run, args=(channel, command.decode())).start()
        return True

    def run(self, channel: paramiko.Channel, command: str) -> None:
        """Runs the command, whose path is below the root, and passes on what goes in and out."""
        program, path = command.split(" ", 1)
        process = subprocess.Popen(
            [program, str(self.root / path.strip("'").lstrip("/"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "GIT_PROTOCOL": getattr(self, "protocol", "")},
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        given, printed = process.stdin, process.stdout

        def pass_in() -> None:
            with suppress(OSError, ValueError), given:  # of a git that has ended
                while data := channel.recv(4096):
                    given.write(data)
                    given.flush()

        feeding = threading.Thread(target=pass_in, daemon=True)
        feeding.start()
        gone = (OSError, EOFError, ValueError, paramiko.SSHException)
        with printed, process.stderr, suppress(*gone):  # of a client that is gone
            while data := printed.read1(4096):
                channel.sendall(data)
            channel.sendall_stderr(process.stderr.read())
            channel.send_exit_status(process.wait())
        with suppress(*gone):
            channel.close()
        process.wait()
        feeding.join(5)


@contextmanager
def ssh_server(root: Path, key: paramiko.PKey) -> Iterator[tuple[str, str]]:
    """The URL of an ssh server that lets `key` in, and its line in known_hosts."""
    own = paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(own)
            transports.append(transport)
            # With an event it does not wait for the handshake, which a client may break off.
            transport.start_server(threading.Event(), Entrance(key, root))

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield (
            f"ssh://git@127.0.0.1:{port}",
            f"[127.0.0.1]:{port} {own.get_name()} {own.get_base64()}\n",
        )
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()
        thread.join()
