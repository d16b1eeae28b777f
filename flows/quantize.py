"""``sarpipe quantize`` and ``sarpipe dequantize``: embeddings in a smaller form and back; straight, without Prefect."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from rich.filesize import decimal

from sarpipe.embeddings.compression import compression
from sarpipe.errors import UsageError
from sarpipe.flows.console import print_plan
from sarpipe.settings import Settings
from sarpipe.stages.quantize import dequantize, make_quantized, plan_quantize
from sarpipe.stages.search import made_last
from sarpipe.storage import address, is_url


def run_quantize(options: Namespace, settings: Settings) -> int:
    """Do what the command line asks for; its exit code."""
    embeddings = made_last(settings.data, options.embeddings)
    step = plan_quantize(settings, embeddings, options.form, force=options.force)
    if options.dry_run:
        print_plan([step])
        if options.json:
            print(json.dumps({"status": "planned", "form": step.name, "state": step.state, "why": step.why}))
        return 0
    receipt = make_quantized(step, embeddings)
    file = address(Path(receipt["folder"]) / receipt["file"])
    size = (Path(receipt["folder"]) / receipt["file"]).stat().st_size
    raw = compression(0, receipt["places"], receipt["dates_a_place"])["bytes_per_place"]["raw_float16"]
    ratio = raw / receipt["bytes_a_place"]
    print(
        f"{options.form} {'computed' if receipt['computed'] else 'reused'}: {receipt['places']:,} places of "
        f"{receipt['bytes_a_place']:,} bytes, and {receipt['overhead_bytes']:,} bytes once; {ratio:,.0f} times smaller "
        f"than the raw float16 cube\n  {file} ({decimal(size)})\nNext: sarpipe dequantize {file} OUT.parquet",
        file=sys.stderr,
    )
    if options.json:
        print(
            json.dumps(
                {
                    "status": "completed",
                    "form": options.form,
                    "places": receipt["places"],
                    "bytes_a_place": receipt["bytes_a_place"],
                    "overhead_bytes": receipt["overhead_bytes"],
                    "raw_float16_ratio": ratio,
                    "stages": {"quantize": "computed" if receipt["computed"] else "reused"},
                    "outputs": {"quantized": file},
                    "seconds": {"quantize": receipt["seconds"]},
                }
            )
        )
    return 0


def run_dequantize(options: Namespace) -> int:
    """Do what the command line asks for; its exit code."""
    for path in (options.file, options.out):
        if is_url(path):
            raise UsageError(f"{path} is no file of this machine", "Fetch it first, and copy what comes out")
    places = dequantize(Path(options.file), Path(options.out))
    print(f"{places:,} places as float32 in {options.out}", file=sys.stderr)
    if options.json:
        print(json.dumps({"status": "completed", "places": places, "outputs": {"embeddings_parquet": options.out}}))
    return 0
