"""What the deployments are given by the environment that they are deployed in: a build step of prefect.yaml."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sarpipe import __version__
from sarpipe.errors import UsageError

SOURCE = "raw/train/S1GRD"
"""Where 'sarpipe download raw --split train' puts the stores."""
_SWITCH = {"": False, "off": False, "on": True}


def deployed() -> dict[str, str | bool | None]:
    """What prefect.yaml leaves open, from SARPIPE_ROOT, SARPIPE_SOURCE, SARPIPE_DATA, SARPIPE_CONFIG, SARPIPE_DASK and
    SARPIPE_NIGHTLY; without them a machine that does everything itself, in this checkout.

    Raises:
        UsageError: SARPIPE_NIGHTLY is neither on nor off.
    """
    nightly = os.environ.get("SARPIPE_NIGHTLY", "")
    if nightly not in _SWITCH:
        raise UsageError(f"SARPIPE_NIGHTLY is {nightly!r}", "Set it to on or off")
    # Said, as a shell without the variable switches it off that another one has switched on.
    print(f"Schedule nightly: {'on' if _SWITCH[nightly] else 'off'} (SARPIPE_NIGHTLY)")
    root = os.environ.get("SARPIPE_ROOT") or os.getcwd()
    return {
        "root": os.path.abspath(root),
        "version": _version(),
        "source": os.environ.get("SARPIPE_SOURCE") or SOURCE,
        "data": os.environ.get("SARPIPE_DATA") or "data",
        "config": os.environ.get("SARPIPE_CONFIG") or None,
        "dask": os.environ.get("SARPIPE_DASK") or None,
        "nightly": _SWITCH[nightly],
    }


def _version() -> str:
    """The package's, and the commit of the checkout if it is one: 0.1.0+89223eb, with .dirty where files differ."""
    here = Path(__file__).resolve().parent
    describe = ["git", "describe", "--always", "--exclude=*", "--dirty=.dirty"]
    try:
        commit = subprocess.run(describe, cwd=here, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__}+{commit}"
