"""A small Hugging Face hub on the loopback interface, for tests of everything that downloads.

It speaks what huggingface_hub, transformers and datasets ask for: repository info, file trees, path
info, and file bodies with HEAD, ETag and Range. It never advertises Xet. Point a client at it with
`HF_ENDPOINT` (read at import, so in a new process): `subprocess.run(..., env=hub.environment(tmp_path))`.
"""

import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".parquet")
FILE_PATH = re.compile(r"/(?:(?P<kind>dataset)s/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
API_PATH = re.compile(r"/api/(?P<kind>model|dataset)s/(?P<name>[^/]+/[^/]+)(?:/(?P<what>[^/]+)(?P<rest>/.*)?)?")


@dataclass(frozen=True, kw_only=True)
class Repo:
    """One repository with a single commit. A gated one tells who it is, but gives no file."""

    kind: str
    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    gated: bool = False

    @property
    def commit(self) -> str:
        digest = sha1(self.name.encode())
        for path in sorted(self.files):
            digest.update(path.encode() + self.files[path])
        return digest.hexdigest()

    def entry(self, path: str) -> dict:
        """Return a file as the hub's tree and paths-info list it."""
        body = self.files[path]
        listed = {"type": "file", "path": path, "size": len(body), "oid": git_oid(body)}
        if path.endswith(LFS_SUFFIXES):
            listed["lfs"] = {"oid": sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
        return listed

    def tree(self, folder: str, *, recursive: bool) -> list[dict]:
        """Return what lies in a folder ("" is the root): files, and the folders among them."""
        prefix = f"{folder}/" if folder else ""
        inside = [path for path in sorted(self.files) if path.startswith(prefix)]
        depth = len(PurePosixPath(folder).parts) + 1
        folders = {str(parent) for path in inside for parent in PurePosixPath(path).parents}
        folders = {each for each in folders if each.startswith(prefix) and each not in (".", folder)}
        found = [{"type": "directory", "path": each, "oid": "0" * 40, "size": 0} for each in sorted(folders)]
        found += [self.entry(path) for path in inside]
        return [each for each in found if recursive or len(PurePosixPath(each["path"]).parts) == depth]

    def info(self) -> dict:
        """Return what `/api/models/NAME` answers."""
        return {
            "id": self.name,
            "sha": self.commit,
            "private": False,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(self.files)],
        }


def git_oid(body: bytes) -> str:
    """Return git's name for a blob, which the hub uses as ETag for small files."""
    return sha1(b"blob %d\0" % len(body) + body).hexdigest()


class HubServer:
    """The hub, served by a thread between `__enter__` and `__exit__`."""

    def __init__(self, repos: list[Repo]) -> None:
        self.repos = {(repo.kind, repo.name): repo for repo in repos}
        self.requests: list[str] = []
        """Every request so far, as "METHOD path"."""
        self.cut_in: str | None = None
        """If a body's path contains this, it stops half-way and the hub is gone from then on."""
        self.is_gone = False
        """While true, every connection is closed without an answer."""
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def come_back(self) -> None:
        """End the half-way mode: serve everything again."""
        self.cut_in, self.is_gone = None, False

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Return the environment of a client process that has this hub, an empty home and no proxy."""
        return client_environment(self.endpoint, home, **more)

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def client_environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """Return this process's environment with another hub, an empty hub home, and no proxy or token."""
    hidden = re.compile(r"(HF_|HUGGING|TRANSFORMERS_|DATASETS_).*|.*_PROXY", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not hidden.fullmatch(name)}
    source = str(Path(__file__).parents[1] / "src")
    return kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONPATH": source} | more


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet; `HubServer.requests` has the log."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        if self.hub.is_gone:
            self.close_connection = True
            return
        url = urlsplit(self.path)
        path = unquote(url.path)
        if match := API_PATH.fullmatch(path):
            self._answer_api(match, parse_qs(url.query))
        elif match := FILE_PATH.fullmatch(path):
            self._answer_file(match)
        else:
            self._send_error(404, "", f"no such page: {path}")

    def _answer_api(self, match: re.Match, query: dict[str, list[str]]) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        repo = self.hub.repos.get((match["kind"], match["name"]))
        rest = (match["rest"] or "").strip("/")
        if repo is None:
            self._send_error(404, "RepoNotFound", "Repository not found")
        elif match["what"] in (None, "revision"):
            self._send_json(repo.info())
        elif match["what"] == "tree":
            found = repo.tree(rest.partition("/")[2], recursive=query.get("recursive") == ["true"])
            if found:
                self._send_json(found)
            else:
                self._send_error(404, "EntryNotFound", f"{rest} does not exist")
        elif match["what"] == "paths-info":
            self._send_json(self._paths_info(repo, sent))
        else:
            self._send_error(404, "EntryNotFound", "no such call")

    def _paths_info(self, repo: Repo, sent: bytes) -> list[dict]:
        is_json = "json" in self.headers.get("Content-Type", "")
        paths = json.loads(sent)["paths"] if is_json else parse_qs(sent.decode()).get("paths", [])
        everything = {each["path"]: each for each in repo.tree("", recursive=True)}
        return [everything[path] for path in paths if path in everything]

    def _answer_file(self, match: re.Match) -> None:
        repo = self.hub.repos.get((match["kind"] or "model", match["name"]))
        if repo is None:
            self._send_error(404, "RepoNotFound", "Repository not found")
        elif repo.gated:
            self._send_error(401, "GatedRepo", f"Access to model {repo.name} is restricted.")
        elif match["revision"] not in ("main", repo.commit):
            self._send_error(404, "RevisionNotFound", "Invalid rev id")
        elif match["file"] not in repo.files:
            self._send_error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repo.commit})
        else:
            self._send_file(repo, match["file"])

    def _send_file(self, repo: Repo, path: str) -> None:
        entry, body = repo.entry(path), repo.files[path]
        lfs = entry.get("lfs")
        headers = {
            "ETag": f'"{lfs["oid"] if lfs else entry["oid"]}"',
            "X-Repo-Commit": repo.commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if lfs:
            headers |= {"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{lfs["oid"]}"'}
        status = 200
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            begin, end = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(body)}"
            status, body = 206, body[begin : end + 1]
        is_cut = self.hub.cut_in is not None and self.hub.cut_in in path and self.command == "GET"
        self._send(status, body, headers, stop_after=len(body) // 2 if is_cut else None)

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send_error(self, status: int, code: str, message: str, more: Mapping[str, str] | None = None) -> None:
        headers = {"X-Error-Message": message, "Content-Type": "application/json", **(more or {})}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], *, stop_after: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:stop_after])
        if stop_after is not None:
            self.wfile.flush()
            self.hub.is_gone = self.close_connection = True
