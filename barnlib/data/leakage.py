"""Images that two splits share: found by what they show and by their names, and refused.

In:  for each split, the paths of its images. Out: their digests, for the dataset's card, or an error that names them.

Content is the SHA-256 of size and RGB pixels, so that another file format or other metadata do not hide a photograph;
compressed anew or resized it is another image here, and only its name can tell (Visual Genome, and with it GQA, gave
new numbers to photographs of MS COCO: neither tells there). Names are compared without folder and
ending, those of MS COCO by the photograph's number alone: LLaVA's conversations take photographs from ``train2017``
that VQA v2 asks about as ``COCO_val2014_…``.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image
from tqdm import tqdm

_COCO = re.compile(r"(?:COCO_(?:train|val|test)\d{4}_)?(\d{12})", re.IGNORECASE)
NAMED = 5  # shared images in a message


def image_digests(folder: Path, images: Iterable[str]) -> dict[str, str]:
    """Digest of the content of each image, by its path in the folder, sorted.

    Raises:
        ValueError: an image that is missing or cannot be decoded; names it.
    """
    names = sorted(set(images))
    return {image: _content(folder / image) for image in tqdm(names, desc="images", mininterval=5)}


def photograph(image: str) -> str:
    """The name by which a photograph is recognised in another folder, format or release."""
    stem = PurePosixPath(image).stem
    coco = _COCO.fullmatch(stem)
    return f"coco {coco[1]}" if coco else stem.casefold()


def refuse_shared(splits: Mapping[str, Mapping[str, str]], *, numbered_by_split: bool = False) -> None:
    """Refuse a dataset of which two splits share an image.

    Args:
        splits: split -> path -> digest, of :func:`image_digests`.
        numbered_by_split: names are given anew in each split (``train/0001.jpg``, ``test/0001.jpg``) and prove
            nothing; content alone is compared.

    Raises:
        ValueError: images are shared; says how many and names the first of them, with their splits.
    """
    shared = [
        f"{_listed(places)} have the same content"
        for places in _in_several(splits, lambda image, digest: digest)
    ]
    same_content = len(shared)
    if not numbered_by_split:
        shared += [
            f"{_listed(places)} have the same name"
            for places in _in_several(splits, lambda image, digest: photograph(image))
        ]
    if shared:
        rest = f"; and {len(shared) - NAMED} more" if len(shared) > NAMED else ""
        way_out = "take each out of all splits but one"
        if same_content < len(shared):
            way_out += ", or set numbered_by_split where the same name is no sign of the same photograph"
        raise ValueError(f"splits share images: {'; '.join(shared[:NAMED])}{rest}. To go on, {way_out}")


def _in_several(
    splits: Mapping[str, Mapping[str, str]], key: Callable[[str, str], str]
) -> list[list[tuple[str, str]]]:
    """(split, image) of what several splits hold, one image of each split, grouped by what `key` says is the same."""
    groups: dict[str, dict[str, str]] = {}
    for split, digests in splits.items():
        for image, digest in digests.items():
            groups.setdefault(key(image, digest), {}).setdefault(split, image)
    return [list(group.items()) for group in groups.values() if len(group) > 1]


def _listed(places: list[tuple[str, str]]) -> str:
    return " and ".join(f"{image} ({split})" for split, image in places)


def _content(path: Path) -> str:
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such image; expected the file that a record names") from None
    # Pillow raises SyntaxError and ValueError for some broken files, and an error of its own for enormous ones.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: the image cannot be read ({error})") from error
    return hashlib.sha256(f"{picture.width}x{picture.height}:".encode() + picture.tobytes()).hexdigest()
