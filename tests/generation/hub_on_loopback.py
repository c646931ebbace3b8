"""A Hugging Face Hub on loopback that keeps the real one's rules.

Large files are named by their sha256 and lie behind a redirect, where ranges can be asked
for; small ones are named by git's sha1. Gated repositories answer 401 without a token and
403 to a token whose account has not accepted the licence; a wrong token is a 401 everywhere.
"""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789" * 4
LARGE = 2000  # bytes from which on a file counts as large


@dataclass
class Repository:
    """Files of a model at one commit.

    Attributes:
        is_gated: Whether a licence must be accepted.
        cut_after: Name of a file to the bytes after which its next answer breaks off.
        corrupt: Names of files whose bytes are not those that the etag tells.
    """

    files: dict[str, bytes]
    is_gated: bool = False
    cut_after: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)


def etag(content):
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Hub:
    """The server. A token "hf_good" has accepted every licence, "hf_new" none.

    Attributes:
        repositories: By "owner/name".
        asked: (method, path, Range) of every request.
        fetched: Names of files whose contents were sent.
        stall: Set while large files come to a halt halfway.
    """

    def __init__(self):
        self.repositories = {}
        self.asked = []
        self.fetched = []
        self.stall = threading.Event()
        self.stalled = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.asked.append((self.command, self.path, self.headers.get("Range")))
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.stall.clear()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, request):
        path = request.path.partition("?")[0]
        found = re.match(r"/(?:api/models/|cdn/)?([\w.-]+/[\w.-]+)", path)
        name = found[1] if found else ""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        repository = self.repositories.get(name)
        if path.startswith("/cdn/"):
            return self.content(request, repository, path.split("/", 4)[4], is_behind=True)
        if token not in ("", "hf_good", "hf_new"):
            return self.refuse(request, 401, "")
        if repository is None:
            return self.refuse(request, 401 if not token else 404, "RepoNotFound")
        is_information = path.startswith("/api/") and "/tree/" not in path
        if repository.is_gated and token != "hf_good" and not is_information:
            return self.refuse(request, 401 if not token else 403, "GatedRepo")
        revision = re.search(r"/(?:revision|tree|resolve)/([^/]+)", path)
        if revision and revision[1] not in ("main", "v1", COMMIT):
            return self.refuse(request, 404, "RevisionNotFound")
        if "/tree/" in path:
            return self.send(request, json.dumps([
                {"type": "file", "path": file, "size": len(content), "oid": etag(content)[:40],
                 **({"lfs": {"oid": etag(content), "size": len(content), "pointerSize": 134}}
                    if len(content) >= LARGE else {})}
                for file, content in repository.files.items()
            ]).encode())  # fmt: skip
        if is_information:
            siblings = [{"rfilename": file} for file in repository.files]
            information = {"id": name, "sha": COMMIT, "siblings": siblings}
            return self.send(request, json.dumps(information).encode())
        return self.content(request, repository, path.split("/resolve/")[1].split("/", 1)[1])

    def content(self, request, repository, file, is_behind=False):
        content = repository.files.get(file)
        if content is None:
            return self.refuse(request, 404, "EntryNotFound")
        headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT}
        if len(content) >= LARGE and not is_behind:
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(content))}
            name = next(key for key, each in self.repositories.items() if each is repository)
            headers["Location"] = f"{self.endpoint}/cdn/{name}/{file}"
            return self.send(request, b"", 302, headers)
        if request.command == "GET":
            self.fetched.append(file)
        if file in repository.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = repository.cut_after.pop(file, None) if request.command == "GET" else None
        return self.send(
            request, content[start:], 206 if asked else 200, headers,
            cut=cut, stalls=is_behind and self.stall.is_set(),
        )  # fmt: skip

    def refuse(self, request, status, code):
        headers = {"X-Error-Code": code} if code else {}
        self.send(request, b"{}", status, headers)

    def send(self, request, body, status=200, headers=None, cut=None, stalls=False):
        request.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        if stalls:
            request.wfile.write(body[: len(body) // 2])
            request.wfile.flush()
            self.stalled.set()
            while self.stall.is_set():
                threading.Event().wait(0.02)
            cut = 0
        if cut is not None:
            request.wfile.write(body[:cut])
            request.wfile.flush()
            request.close_connection = True
            return
        request.wfile.write(body)
