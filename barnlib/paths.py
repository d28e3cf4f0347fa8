"""Where the project lies, and where what it produces goes.

In:  the environment variable ``BARNLIB_RUNS``, where it is set.
Out: the repository's folder and that of the runs, from which every other module builds its paths.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def runs_root() -> Path:
    """Folder of everything produced: ``$BARNLIB_RUNS`` where set and not empty, else ``runs/`` beside barnlib.

    Raises:
        ValueError: ``$BARNLIB_RUNS`` is a file, or would lie in one.
    """
    folder = Path(os.environ.get("BARNLIB_RUNS") or ROOT / "runs").resolve()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"BARNLIB_RUNS names {folder}; expected a folder, and {existing} is a file")
    return folder
