"""sarpipe: Sentinel-1 SAR datacubes to 1024-D embeddings.

The library: arrays and files in, arrays and files out. It never imports Prefect; the flows that
orchestrate it live in ``sarpipe.flows``, the Prefect tasks in ``sarpipe.tasks``.

In a notebook: `open_embeddings`, its `Places` with ``search`` and ``plot``, and `probe`; see ``docs/python.md``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sarpipe.notebook.places import Places, open_embeddings
    from sarpipe.notebook.probed import probe

__version__ = "0.1.0"
__all__ = ["Places", "open_embeddings", "probe"]

_HOMES = {
    "Places": "sarpipe.notebook.places",
    "open_embeddings": "sarpipe.notebook.places",
    "probe": "sarpipe.notebook.probed",
}
"""Read when it is asked for: pandas takes a second and torch several, and the command line needs neither for --help."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sarpipe' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
