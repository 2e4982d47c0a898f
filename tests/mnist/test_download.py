from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gradcheck.errors import DataError, MissingExtra
from gradcheck.mnist import data, download, idx

NAME = "t10k-labels-idx1-ubyte"
RAW = bytes.fromhex("00000801 000003e8") + bytes(range(10)) * 100
SHA256 = hashlib.sha256(RAW).hexdigest()
SAMPLE_FOLDER = Path(data.__file__).parent / "sample"

Handler = http.server.BaseHTTPRequestHandler


def reply(handler: Handler, body: bytes, *, length: object = None, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):  # not for ever, lest a failing test hang
        handler.wfile.write(bytes(1 << 16))


def sample_file(handler: Handler) -> None:
    reply(handler, (SAMPLE_FOLDER / handler.path.rsplit("/", 1)[-1]).read_bytes())


MIRRORS: dict[str, Callable[[Handler], None]] = {
    "honest": lambda handler: reply(handler, gzip.compress(RAW)),
    "unzipped": lambda handler: reply(handler, RAW),
    "lying": lambda handler: reply(handler, gzip.compress(RAW[:-1] + b"\7")),
    "portal": lambda handler: reply(handler, b"<html>Please log in to the network</html>"),
    "truncating": lambda handler: reply(handler, gzip.compress(RAW)[:-20], length=len(gzip.compress(RAW))),
    "short": lambda handler: reply(handler, gzip.compress(RAW)[:-20]),
    "gone": lambda handler: reply(handler, b"", status=404),
    "garbled": lambda handler: reply(handler, gzip.compress(RAW), length="many"),
    "endless": endless,
    "sample": sample_file,
}


class Answer(Handler):
    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client hangs up on an endless answer
            MIRRORS[self.path.split("/")[1]](self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve every mirror of the table as a folder of its name."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def down() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("mirror", ["honest", "unzipped"])
def test_the_published_file_arrives_however_it_is_packed(tmp_path: Path, server: str, mirror: str) -> None:
    path = download.fetch(NAME, SHA256, tmp_path / "new" / "folder", mirrors=[f"{server}/{mirror}/"])
    assert path == tmp_path / "new" / "folder" / f"{NAME}.gz"
    assert idx.sha256(idx.read_labels(path)) == SHA256
    assert list(path.parent.iterdir()) == [path]


FAILURES = {
    "lying": rf"what arrived has sha256 [0-9a-f]{{64}}, the published file {SHA256}",
    "portal": r"what arrived: is no such IDX file \(it starts with 3c68746d\)",
    "truncating": r"IncompleteRead|what arrived: its gzip stream is cut short",
    "short": r"what arrived: its gzip stream is cut short",
    "gone": r"404 Client Error",
    "garbled": r"many",
    "endless": r"it sent more than 2000 bytes, which no file of MNIST has",
}


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_MOST_BYTES", 2000)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(("mirror", "reason"), FAILURES.items(), ids=FAILURES)
def test_a_bad_mirror_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, server: str, mirror: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        download.fetch(NAME, SHA256, tmp_path, mirrors=[f"{server}/{mirror}"])
    assert f"no mirror sent the published {NAME}:\n  {server}/{mirror}/{NAME}.gz: " in str(caught.value)
    assert "gradcheck train --data sample" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("mirror", FAILURES)
def test_after_a_bad_mirror_the_next_one_is_asked(tmp_path: Path, server: str, mirror: str) -> None:
    mirrors = [f"{server}/{mirror}", f"{server}/honest"]
    path = download.fetch(NAME, SHA256, tmp_path, mirrors=mirrors)
    assert idx.sha256(idx.read_labels(path)) == SHA256
    assert list(tmp_path.iterdir()) == [path]


def test_a_mirror_that_is_down_is_passed_over(tmp_path: Path, server: str, down: str) -> None:
    with pytest.raises(DataError, match=rf"{down}/{NAME}.gz: .*[Cc]onnection"):
        download.fetch(NAME, SHA256, tmp_path, mirrors=[down])
    assert list(tmp_path.iterdir()) == []
    assert download.fetch(NAME, SHA256, tmp_path, mirrors=[down, f"{server}/honest"]).exists()


def test_the_message_names_every_mirror_in_the_order_tried(tmp_path: Path, server: str, down: str) -> None:
    mirrors = [f"{server}/lying", down, f"{server}/gone"]
    with pytest.raises(DataError, match="(?s)/lying/.*sha256.*" + down + ".*/gone/.*404"):
        download.fetch(NAME, SHA256, tmp_path, mirrors=mirrors)


def test_a_bad_download_does_not_touch_the_file_that_is_there(tmp_path: Path, server: str) -> None:
    there = tmp_path / f"{NAME}.gz"
    there.write_bytes(gzip.compress(RAW))
    with pytest.raises(DataError):
        download.fetch(NAME, SHA256, tmp_path, mirrors=[f"{server}/lying"])
    assert gzip.decompress(there.read_bytes()) == RAW
    assert list(tmp_path.iterdir()) == [there]


def test_a_folder_that_cannot_be_written_is_not_the_mirrors_fault(tmp_path: Path, server: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file: cannot be written \(.*\): set GRADCHECK_DATA"):
        download.fetch(NAME, SHA256, tmp_path / "file", mirrors=[f"{server}/honest"])


class Bar:
    """A progress bar as pooch calls it."""

    total = 0
    interrupt = False

    def update(self, amount: int) -> None:
        del amount
        if self.interrupt:
            raise KeyboardInterrupt

    def reset(self) -> None: ...

    def close(self) -> None: ...


def test_the_callers_progress_bar_learns_the_size(tmp_path: Path, server: str) -> None:
    bar = Bar()
    download.fetch(NAME, SHA256, tmp_path, mirrors=[f"{server}/honest"], progress=bar)
    assert bar.total == len(gzip.compress(RAW))


def test_an_interrupted_download_leaves_nothing_behind(tmp_path: Path, server: str) -> None:
    bar = Bar()
    bar.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        download.fetch(NAME, SHA256, tmp_path, mirrors=[f"{server}/honest"], progress=bar)
    assert list(tmp_path.iterdir()) == []


def test_without_pooch_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtra, match=r"downloading MNIST needs pooch.*gradcheck\[mnist\]"):
        download.fetch(NAME, SHA256, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_whole_of_mnist_is_downloaded_once(
    tmp_path: Path, server: str, down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "PUBLISHED", data.SAMPLE)  # the sample stands in for what mirrors serve
    assert data.download_mnist(tmp_path, mirrors=[f"{server}/sample"]) == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.gz" for name in data.SAMPLE)
    for split in ("train", "test"):
        downloaded, sample = data.load(split, tmp_path), data.load(split, "sample")
        np.testing.assert_array_equal(downloaded.images, sample.images, strict=True)
    data.download_mnist(tmp_path, mirrors=[down])  # asks nobody for what is there


def test_the_mirrors_are_the_two_known_to_serve_mnist_over_tls() -> None:
    assert len(download.MIRRORS) == 2
    assert all(mirror.startswith("https://") for mirror in download.MIRRORS)
