"""Checkpoints on disk: a folder as it is, a hub id as the snapshot that the hub's own cache holds.

In:  ``checkpoint`` of a backbone's or an encoder's YAML file, as :func:`barnlib.components.checkpoint_path` gives it.
Out: a folder with safetensors, from which everything is loaded; or a `ValueError` of one sentence that says what to do.

Pickled weights are refused: reading them runs whatever code they hold. ``trust_remote_code`` is off everywhere. A token
of the hub is read by huggingface_hub itself, from its own place; nothing here sees it, and no message repeats it.
"""

import errno
import shutil
from pathlib import Path
from typing import Any

import psutil
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open

# Weights, configuration and tokenizer; neither pickles nor code nor the same weights in another library's layout.
WANTED, UNWANTED = ("*.safetensors", "*.json", "*.txt", "*.model"), ("consolidated*", "onnx/*")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def local_folder(checkpoint: Path | str) -> Path:
    """The folder of a checkpoint; a hub id is downloaded into the hub's cache where it is not there yet.

    Args:
        checkpoint: a folder, or the id of a model on the hub, with `@REVISION` behind it to hold it to one revision.

    Raises:
        ValueError: no such model, no permission, a wrong token, no network, no room on the disk, no weights that can be
            read safely. Each says what to do.
    """
    folder = checkpoint if isinstance(checkpoint, Path) else _download(checkpoint)
    require_safetensors(folder, str(checkpoint))
    return folder


def require_safetensors(folder: Path, name: str) -> None:
    """Refuse a folder without safetensors, or with damaged ones; only their headers are read.

    Raises:
        ValueError: a file that was cut or damaged; only pickled weights, with the way out; or no weights at all.
    """
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ValueError(
                f"{path}: cannot be read as safetensors ({error}); make, copy or download it again"
            ) from None
    if weights:
        return
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise ValueError(
            f"'{name}' holds only pickled weights ({pickled[0]}), which run code when they are read; if you trust "
            "their source, convert them once with `from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)` of "
            "transformers and name NEW_FOLDER as the checkpoint"
        )
    raise ValueError(
        f"'{name}' holds no weights: expected *.safetensors in {folder} (pickled weights are never downloaded: where "
        "the hub has no others, name a pull request of the model's page that adds them, as "
        "'OWNER/NAME@refs/pr/NUMBER', or convert them once with `from_pretrained` and `save_pretrained` of "
        "transformers)"
    )


def require_memory(needed: int, free: int, what: str) -> None:
    """Refuse to load what does not fit.

    Args:
        needed, free: bytes.
        what: named in the message.

    Raises:
        ValueError: says how much is missing and what would need less.
    """
    if needed > free:
        raise ValueError(
            f"{what} needs about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: use a machine with "
            "more, set 'compute.precision: bfloat16' or 'finetune.method: lora' (or 'qlora') in the study's file, or "
            "end what else is running"
        )


def free_memory(device: torch.device) -> int:
    """Bytes that can still be used on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def require_disk(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: where it shall be written; the nearest folder above it that exists is asked.
        needed: bytes.

    Raises:
        ValueError: says how much is missing.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f"{what} needs about {needed / 2**30:.1f} GiB in {folder} and {free / 2**30:.1f} GiB are free there: make "
            "room, or let BARNLIB_RUNS (results) or HF_HOME (downloads) name a folder on a larger disk"
        )


def _download(name: str) -> Path:
    """The snapshot of a hub id, from the cache where it is complete: nobody is asked then."""
    wanted: dict[str, Any] = {"allow_patterns": list(WANTED), "ignore_patterns": list(UNWANTED)}
    repository, _, revision = name.partition("@")
    wanted |= {"repo_id": repository, "revision": revision or None}
    try:
        return Path(snapshot_download(**wanted, local_files_only=True))
    except HFValidationError:
        raise ValueError(
            f"checkpoint '{name}': there is no such folder, and it is no id of a model on the hub (OWNER/NAME)"
        ) from None
    except LocalEntryNotFoundError:
        pass
    try:
        needed = sum(
            file.file_size or 0 for file in snapshot_download(**wanted, dry_run=True) if file.will_download
        )
        require_disk(Path(HF_HUB_CACHE), needed, f"the download of '{name}'")
        return Path(snapshot_download(**wanted))
    except (OSError, DryRunError) as error:
        cause = error.__cause__ if isinstance(error, DryRunError) else error
    raise ValueError(f"checkpoint '{name}' cannot be loaded: {_remedy(cause)}") from None


def _remedy(cause: BaseException | None) -> str:
    """What went wrong between us and the hub, and what to do; never what was sent or received."""
    if isinstance(cause, GatedRepoError):
        return "accept its licence on its page of the hub, then log in as the same user with `hf auth login`"
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set and the cache lacks it; unset it once, or name a local folder"
    if isinstance(cause, RevisionNotFoundError):
        return "the model is there, but not this revision of it; check what stands behind '@'"
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status == 401 and not isinstance(cause, RepositoryNotFoundError):
        return "the hub refuses your token; log in again with `hf auth login`, or unset HF_TOKEN"
    if isinstance(cause, RepositoryNotFoundError):
        return "no such model, or one that you may not see; check the name, or log in with `hf auth login`"
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room, or let HF_HOME name a folder on a larger disk"
    if status is not None:
        return f"the hub answers with HTTP status {status}; try again later, or name a local folder"
    return "the hub cannot be reached and the cache lacks it; connect to the network, or name a local folder"
