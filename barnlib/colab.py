"""What a notebook needs on Colab, where it arrives without its repository and its packages.

In:  a clone of the repository, which the notebook's first cell has made (``barnlib.first_cell`` holds that cell).
Out: the pinned packages, and barnlib itself, installed for the running kernel.

The cell runs this file by its path, before barnlib or anything it depends on can be imported: standard library only.
"""

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

PARTS_OF_COLAB = ("torch",)  # other packages that Colab brings, torchvision first, load with this build only


def install(folder: str | Path) -> None:
    """Install what ``pyproject.toml`` pins, and the clone itself, and let the running kernel import it.

    Args:
        folder: of the clone.

    Raises:
        RuntimeError: pip failed; the message ends with what it said.
    """
    project = Path(folder).resolve()
    pins = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    _pip(requirements(pins, list(sys.modules)))
    _pip(["--no-deps", "--editable", str(project)])
    sys.path.insert(0, str(project))  # an editable install is seen by kernels that start after it
    importlib.invalidate_caches()


def requirements(pins: Iterable[str], loaded: Iterable[str]) -> list[str]:
    """The pins, but for packages that stay at the version that is there.

    What the kernel has loaded cannot be exchanged without a restart (its own parts, and NumPy, which Colab loads at
    the start), and a build that other packages load with should not be.

    Args:
        pins: ``NAME==VERSION``.
        loaded: names of modules that the kernel has loaded.
    """
    providers = packages_distributions()
    names = {module.partition(".")[0] for module in loaded}
    staying = {_normal(found) for name in names for found in providers.get(name, [])} | set(PARTS_OF_COLAB)
    return [_there(pin) if _normal(pin.partition("==")[0]) in staying else pin for pin in pins]


def _there(pin: str) -> str:
    name = pin.partition("==")[0]
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return pin


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _pip(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr).strip()[-3000:]}")
