"""sarpipe: Sentinel-1 SAR datacubes to 1024-D embeddings.

The library: arrays and files in, arrays and files out. It never imports Prefect; the flows that
orchestrate it live in ``sarpipe.flows``, the Prefect tasks in ``sarpipe.tasks``.
"""

__version__ = "0.1.0"
