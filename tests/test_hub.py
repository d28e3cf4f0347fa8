"""Checkpoints that cannot be had: each ends with one sentence that says what to do. The hub is a local server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.numpy
import torch

from barnlib import hub
from barnlib.hub import free_memory, local_folder, require_disk, require_memory, require_safetensors

TOKEN = "hf_thisIsASecretOfTheTests"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = safetensors.numpy.save({"weight": np.zeros(3, np.float32)})


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: what goes wrong is named by the repository's name."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        problems = {
            "gated": (403, {"X-Error-Code": "GatedRepo"}),
            "absent": (404, {"X-Error-Code": "RepoNotFound"}),
            "token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
            "broken": (500, {}),
        }
        status, headers = next(
            (found for name, found in problems.items() if f"/{name}" in self.path), (200, {})
        )
        body = b""
        if status == 200 and "/tree/" in self.path:
            body = json.dumps(
                [{"type": "file", "path": "config.json", "size": 2 * 2**60, "oid": "a" * 40}]
            ).encode()
        elif status == 200:
            body = json.dumps({"id": "some/large", "sha": COMMIT, "siblings": []}).encode()
        if "/resolve/" in self.path:
            headers = headers | {"ETag": '"a"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(2**61)}
        self.send_response(status)
        for key, value in {
            **headers,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A hub of our own, an empty cache, and a token that must appear nowhere."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{httpd.server_port}"

    def download(**options):
        return huggingface_hub.snapshot_download(
            **options, endpoint=endpoint, token=TOKEN, cache_dir=str(tmp_path / "cache")
        )

    monkeypatch.setattr(hub, "snapshot_download", download)
    yield endpoint
    httpd.shutdown()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some/gated", "accept its licence on its page of the hub, then log in as the same user"),
        ("some/absent", "no such model, or one that you may not see; check the name, or log in"),
        ("some/token", "the hub refuses your token; log in again with `hf auth login`, or unset HF_TOKEN"),
        ("some/broken", "the hub answers with HTTP status 500; try again later, or name a local folder"),
    ],
)
def test_each_refusal_of_the_hub_says_what_to_do(server, name, message, caplog, capfd):
    with pytest.raises(ValueError) as raised:
        local_folder(name)
    assert str(raised.value).startswith(f"checkpoint '{name}' cannot be loaded: ") and message in str(
        raised.value
    )
    assert raised.value.__cause__ is None and raised.value.__suppress_context__
    seen = str(raised.value) + caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in seen


def test_no_network_and_offline_mode(tmp_path, monkeypatch):
    def download(**options):
        return huggingface_hub.snapshot_download(
            **options, endpoint="http://127.0.0.1:9", cache_dir=str(tmp_path), etag_timeout=1
        )

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(
        ValueError, match="the hub cannot be reached and the cache lacks it; connect to the network"
    ):
        local_folder("some/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True, raising=False)
    with pytest.raises(
        ValueError, match=r"cannot be loaded: (HF_HUB_OFFLINE is set|the hub cannot be reached)"
    ):
        local_folder("some/model")


def test_a_download_that_the_disk_cannot_hold_is_refused_before_it_begins(server):
    with pytest.raises(
        ValueError, match=r"the download of 'some/large' needs about 2147483648\.0 GiB .*HF_HOME"
    ):
        local_folder("some/large")


def test_what_the_cache_holds_is_used_without_asking(monkeypatch, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    asked = []

    def download(**options):
        asked.append(options)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert local_folder("some/model@abc") == tmp_path
    (only,) = asked
    assert only["local_files_only"] is True
    assert (only["repo_id"], only["revision"]) == ("some/model", "abc")
    assert not any("*.bin" in str(value) or "*.py" in str(value) for value in only.values())


def test_a_path_that_is_no_folder_is_not_asked_of_the_hub():
    with pytest.raises(
        ValueError, match=r"'params/checkpoints/nano/nothing': there is no such folder, and it is no id"
    ):
        local_folder("params/checkpoints/nano/nothing")


def test_pickles_and_empty_folders_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(
        ValueError, match=r"'mine' holds no weights: expected \*\.safetensors in.*@refs/pr/NUMBER"
    ):
        require_safetensors(tmp_path, "mine")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(
        ValueError, match=r"only pickled weights \(pytorch_model\.bin\).*save_pretrained\(NEW_FOLDER\)"
    ):
        local_folder(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(WEIGHTS)
    assert local_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "content", [b"", WEIGHTS[:-1], WEIGHTS[:20], b"version https://git-lfs.github.com/spec/v1"]
)
def test_damaged_weights_are_named(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"b\.safetensors: cannot be read as safetensors \(.*; make, copy or download"
    ):
        local_folder(tmp_path)


def test_memory_and_disk_say_how_much_is_missing(tmp_path):
    require_memory(1, 2, "it")
    with pytest.raises(ValueError, match=r"^training needs about 3\.0 GiB and 1\.0 GiB are free: .*bfloat16"):
        require_memory(3 * 2**30, 2**30, "training")
    require_disk(tmp_path / "not" / "yet", 1, "it")
    with pytest.raises(ValueError, match=r"a run needs about .* GiB in .*BARNLIB_RUNS"):
        require_disk(tmp_path / "not" / "yet", 2**60, "a run")
    assert free_memory(torch.device("cpu")) > 2**20


def test_nothing_is_loaded_with_foreign_code():
    source = "".join(path.read_text() for path in Path(hub.__file__).parent.rglob("*.py"))
    assert "trust_remote_code=True" not in source and "torch.load(" not in source
