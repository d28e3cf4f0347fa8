"""Where the project lies, and where what it produces goes.

In:  the environment variable ``BARNLIB_RUNS``, where it is set.
Out: the repository's folder and that of the runs, from which every other module builds its paths.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def runs_root() -> Path:
    """Folder of everything produced: ``$BARNLIB_RUNS`` where set, else ``runs/`` beside barnlib."""
    return Path(os.environ.get("BARNLIB_RUNS", ROOT / "runs")).resolve()
