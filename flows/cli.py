"""The command line: each stage command runs the plan of that stage, through Prefect or straight on Dask.

Only the standard library is imported here; what takes seconds to import is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NoReturn

from sarpipe import __version__
from sarpipe.codes import Code
from sarpipe.errors import SarpipeError, UsageError

_EXIT_CODES = """exit codes:
  0    done
  3    done, but places are quarantined or stores refused (they are named)
  2    wrong usage: an option, a path, a setting, or a stage before this one has not run
  1    failed, with the reason
  130  interrupted (Ctrl-C), 143 terminated (SIGTERM); run it again to go on
  141  nobody reads its output any more
"""

_DOWNLOADS = [
    "sarpipe download raw",
    "sarpipe download raw --split train --first 20",
    "sarpipe download raw --stores ssl4eos12_val_seasonal_data_000001.zarr.zip",
    "sarpipe download raw --stores ssl4eos12_train.txt --dry-run",
]

_SEARCHES = [
    "sarpipe search --id 0000012",
    "sarpipe search --at 48.1,11.6 -k 5 --exclude-km 5 --out like_munich.html",
    "sarpipe search --at -33.9,151.2 --within-km 100",
    "sarpipe search --cube cube.npy --json | jq .hits",
    "sarpipe search --id 0000012 --embeddings embeddings.parquet",
]

_JSON = "print one JSON object on stdout, and nothing else"

_RUNS = ["sarpipe runs show last", "sarpipe runs compare last-1 last"]

_STAGES = {
    "preprocess": (
        "stores to cubes",
        "Turn stores of Sentinel-1 places into cubes of 12 channels x 64 x 64, one unit a store.",
        [
            "sarpipe preprocess raw/train/S1GRD",
            "sarpipe preprocess raw/train/S1GRD --format parquet",
            "sarpipe preprocess 'raw/*_00000[1-4].zarr.zip' --recipe original",
        ],
    ),
    "train": (
        "cubes to a model",
        "Train the encoder on the cubes that were made last. An interrupted training goes on from its checkpoint. "
        "'torchrun --nproc-per-node 2 --no-python sarpipe train' takes two processes (GPUs if there are).",
        [
            "sarpipe train",
            "sarpipe train --preset original",
            "sarpipe train --set train.epochs=50 --set train.seed=1",
        ],
    ),
    "embed": (
        "model and cubes to embeddings",
        "Embed every place: GeoParquet, NeuCo-Bench CSV and Zarr.",
        ["sarpipe embed", "sarpipe embed --json", "sarpipe embed --data other --model data/models/sar-0123456789ab"],
    ),
    "evaluate": (
        "embeddings, baselines and truth to figures",
        "Measure the embeddings beside an untrained encoder and what needs no encoder.",
        ["sarpipe evaluate", "sarpipe evaluate --labels biomass.csv", "sarpipe evaluate --force"],
    ),
    "report": ("everything to one page", "Write the report, one self-contained HTML page.", ["sarpipe report"]),
    "run": (
        "the pipeline: all of them",
        "Stores in; cubes, a trained encoder, embeddings, figures and a page out. What is there and whole is kept.",
        [
            "sarpipe run raw/train/S1GRD",
            "sarpipe run raw/train/S1GRD --dry-run",
            "sarpipe run raw/train/S1GRD --config demo.yaml --prefect",
            "sarpipe run --from evaluate   (the stages before it are taken as they are)",
            "sarpipe run raw/val/S1GRD --data other --model data/models/sar-0123456789ab",
            "sarpipe run raw/train/S1GRD --json | jq .outputs.report",
        ],
    ),
}


_NO_SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("recipe", "preset", "config", "format", "workers", "dask")),
    "set": [],
}
"""Of a command that goes by what is there."""
_RANK = int(os.environ.get("RANK", "0"))
"""Of several processes that torchrun started, the first speaks for all."""
_KEPT = "What was finished is kept: run it again to go on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    given = _joined(sys.argv[1:] if arguments is None else arguments)
    options = argparse.Namespace(json="--json" in given)
    try:
        options = _parser().parse_args(given)
        with _terminable():
            code: int = options.command(options)
        # Here and not as Python ends, when nobody could catch it.
        sys.stdout.flush()
    except SarpipeError as error:
        return _failed(options, error.message, error.hint, error.code, error.exit_code)
    except KeyboardInterrupt:
        return _failed(options, "interrupted", _KEPT, Code.INTERRUPTED, 130)
    except _Terminated:
        return _failed(options, "terminated", _KEPT, Code.INTERRUPTED, 143)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            return 128 + signal.SIGPIPE
        if _is_out_of_memory(error):
            said = f"memory does not suffice ({' '.join(str(error).split())[:200]})"
            return _failed(options, said, _LESS, Code.MEMORY, 1)
        # Not foreseen, so a defect: who reports it needs to see where.
        traceback.print_exc()
        return _failed(options, f"{type(error).__name__}: {error}", _REPORT, Code.DEFECT, 1)
    return code


_REPORT = "This is a defect of sarpipe: please report it"
_LESS = "Free some, or --set memory_gb=1 (cubes are then read batch by batch); what was finished is kept"


def _is_unread() -> bool:
    """Whether nobody reads stdout any more, as after ``sarpipe runs --json | head``; what is left then goes nowhere."""
    try:
        number = sys.stdout.fileno()
    except OSError:
        return False
    asked = select.poll()
    asked.register(number, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return True


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory of this process or of a GPU has run out, in whatever words: torch is not imported for it."""
    of_torch = isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "allocate memory")
    )
    return isinstance(error, MemoryError) or of_torch


def _joined(arguments: Sequence[str]) -> list[str]:
    """``--at -33.9,151.2`` as ``--at=-33.9,151.2``: argparse takes what begins with a minus for an option."""
    given = list(arguments)
    for at in [at for at, word in enumerate(given[:-1]) if word == "--at"][::-1]:
        given[at : at + 2] = [f"--at={given[at + 1]}"]
    return given


class _Terminated(BaseException):
    """SIGTERM has come. As KeyboardInterrupt it is no Exception, so that nothing on its way takes it for a failure."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: what is under way is put away, and it is said how to go on."""

    def terminate(*_: object) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = signal.signal(signal.SIGTERM, terminate), sys.unraisablehook

    def again(swallowed: Any) -> None:
        """Where Python runs what no exception leaves (a finaliser, a weak reference's callback), a signal is lost."""
        number = {_Terminated: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}.get(swallowed.exc_type)
        if number is None:
            hook(swallowed)
        else:
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        given, names = re.search(r"invalid choice: '(.*)' \(choose from", message), re.findall(r"'([\w-]+)'", message)
        likely = get_close_matches(given[1], names[1:], n=1) if given else []
        meant = f"Did you mean {likely[0]}? " if likely else ""
        raise UsageError(message, f"{meant}'{self.prog} --help' shows the options, with examples")


def _failed(options: argparse.Namespace, message: str, hint: str, code: Code, exit_code: int) -> int:
    if _RANK:
        return exit_code
    print(f"sarpipe: {message} [{code}]" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
    if options.json:
        print(json.dumps({"status": "failed", "code": code, "error": message, "hint": hint}))
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sarpipe",
        description="Sentinel-1 SAR datacubes to 1024-D embeddings, and a report of how good they are.",
        epilog="examples:\n  sarpipe simulate stores\n  sarpipe run stores\n  sarpipe run --help\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sarpipe {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_simulate(commands)
    _add_download(commands)
    for stage in _STAGES:
        _add_stage(commands, stage)
    _add_quarantine(commands)
    _add_study(commands)
    _add_neuco(commands)
    _add_quantize(commands)
    _add_dequantize(commands)
    _add_search(commands)
    _add_verify(commands)
    _add_gc(commands)
    _add_runs(commands)
    return parser


def _new(
    commands: Any, name: str, short: str, long: str, examples: Sequence[str], closing: str = ""
) -> argparse.ArgumentParser:
    """A command with its help: a line, a description, examples, what else is to be said, exit codes."""
    said = "".join(f"  {example}\n" for example in examples)
    closing = f"{closing}\n\n" if closing else ""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=long,
        epilog=f"examples:\n{said}\n{closing}{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return command


def _finish(command: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], **defaults: Any) -> None:
    """What ends every command: its last option, and what it runs."""
    command.add_argument("--json", action="store_true", help=_JSON)
    command.set_defaults(command=run, **defaults)


def _add_simulate(commands: Any) -> None:
    command = _new(
        commands,
        "simulate",
        "write simulated stores, with their truth",
        "Write simulated stores in the layout of SSL4EO-S12 v1.1, with their truth beside them.",
        ["sarpipe simulate stores", "sarpipe simulate stores --stores 20 --seed 7"],
    )
    command.add_argument("out", metavar="OUT", help="folder for the stores; made if it is not there")
    command.add_argument("--stores", type=_count(1, 1000), default=4, metavar="N", help="how many (default: 4)")
    command.add_argument("--places", type=_count(1, 64), default=64, metavar="N", help="places a store (default: 64)")
    command.add_argument(
        "--seed", type=_count(0, 2**32 - 1), default=0, metavar="N", help="same seed, same bytes (default: 0)"
    )
    _finish(command, _simulate)


def _add_download(commands: Any) -> None:
    command = _new(
        commands,
        "download",
        "fetch stores of SSL4EO-S12 v1.1",
        "Fetch Sentinel-1 stores of SSL4EO-S12 v1.1 (CC-BY-4.0, arXiv:2503.00168) from the Hugging Face "
        "Hub. The validation split (34 stores, about 1.6 GB) is the default; the training split has 3,812 (about "
        "180 GB). What is there and right is kept; what was interrupted goes on.",
        _DOWNLOADS,
        "HF_ENDPOINT names another Hub, HF_TOKEN lifts its rate limit; the dataset needs none.",
    )
    command.add_argument("out", metavar="OUT", help="folder for the files, which go below it as SPLIT/S1GRD/NAME")
    command.add_argument("--split", choices=("train", "val"), help="default: what the names tell, else val")
    command.add_argument(
        "--stores",
        nargs="+",
        default=[],
        metavar="NAME",
        help="these files alone: their names, or a split list (a .txt file with one a line)",
    )
    command.add_argument("--first", type=_count(1, 1_000_000), metavar="N", help="only the first N of them")
    command.add_argument(
        "--layout",
        choices=("zarr", "webdataset"),
        default="zarr",
        help="stores of 64 places, or tars of 512 single places (default: zarr)",
    )
    command.add_argument(
        "--revision", default="main", metavar="REV", help="a commit or tag of the dataset (default: main)"
    )
    command.add_argument("--jobs", type=_count(1, 32), default=4, metavar="N", help="files at a time (default: 4)")
    command.add_argument("--dry-run", action="store_true", help="say what is there and what is to come; fetch nothing")
    _finish(command, _download)


def _add_stage(commands: Any, stage: str) -> None:
    short, long, examples = _STAGES[stage]
    command = _new(commands, stage, short, long, examples)
    if stage in ("preprocess", "run"):
        command.add_argument(
            "source",
            metavar="SOURCE",
            nargs=None if stage == "preprocess" else "?",
            help="a folder of stores (.zarr.zip, .zarr, .tar, files of a place each), one store, a glob, a split list, "
            "or a URL of one, as s3://bucket/train/S1GRD",
        )
    _add_settings(command, preset=stage != "preprocess")
    if stage == "run":
        command.add_argument(
            "--from",
            dest="from_stage",
            choices=[name for name in _STAGES if name != "run"],
            default="preprocess",
            metavar="STAGE",
            help="begin at this stage (%(choices)s): what those before it made of SOURCE, or made last without it, is "
            "verified and never made again",
        )
    if stage in ("embed", "evaluate", "report", "run"):
        command.add_argument("--model", metavar="FOLDER", help="use this trained model instead of training one")
    if stage in ("evaluate", "report", "run"):
        command.add_argument(
            "--labels",
            metavar="PATH",
            help="probe these labels too: CSV or Parquet with a column id, or a folder of such",
        )
    if stage in ("preprocess", "run"):
        command.add_argument("--format", choices=("parquet",), help="write the cubes in this format too")
        where = command.add_mutually_exclusive_group()
        where.add_argument(
            "--workers", type=_count(1, 1024), metavar="N", help="Dask worker processes (default: one a core)"
        )
        where.add_argument(
            "--dask", metavar="ADDRESS", help="use a running Dask scheduler, for example tcp://127.0.0.1:8786"
        )
    command.add_argument("--dry-run", action="store_true", help="say what is done, what is missing and why; do nothing")
    command.add_argument("--force", action="store_true", help="make it again although it is there")
    command.add_argument(
        "--prefect", action="store_true", help="run the Prefect flow; so it is where PREFECT_API_URL is set"
    )
    _finish(
        command,
        _stage,
        stage=stage,
        from_stage="preprocess",
        **dict.fromkeys(("source", "preset", "format", "workers", "dask", "model", "labels")),
    )


def _add_settings(command: argparse.ArgumentParser, *, preset: bool) -> None:
    _add_data(command)
    command.add_argument("--recipe", choices=("sar", "original"), help="how a place becomes a cube (default: sar)")
    if preset:
        command.add_argument("--preset", choices=("sar", "original"), help="how the encoder is trained (default: sar)")
    config = os.environ.get("SARPIPE_CONFIG") or None
    command.add_argument(
        "--config",
        default=config,
        metavar="FILE",
        help="YAML file of settings, for example 'train: {epochs: 30}'; "
        f"SARPIPE_CONFIG sets the default (now: {config or 'none'})",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=C",
        help="one setting, for example train.epochs=30; can be given again",
    )


def _add_data(command: argparse.ArgumentParser, default: str | None = None) -> None:
    data = os.environ.get("SARPIPE_DATA", "data")
    command.add_argument(
        "--data",
        default=default or data,
        metavar="DIR",
        help="all output goes below it: a folder, or a URL as s3://bucket/output; "
        f"SARPIPE_DATA sets the default (now: {data})",
    )


def _add_quarantine(commands: Any) -> None:
    command = _new(
        commands,
        "quarantine",
        "what could not be used, and why",
        "List the places and stores that the last preprocess of a recipe could not use: why, at which step, where they "
        "lie, what helps, and the commands to look at each and to try it again.",
        [
            "sarpipe quarantine",
            "sarpipe quarantine --id 0000012   (that place as it is now, date by date)",
            "sarpipe quarantine --json | jq -r '.quarantine[].path'",
        ],
    )
    _add_settings(command, preset=False)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--id", metavar="ID", help="this place alone, and what is there now")
    which.add_argument("--store", metavar="NAME", help="what is of this store, and what is there now")
    _finish(command, _quarantine, preset=None, format=None, workers=None, dask=None)


def _add_study(commands: Any) -> None:
    command = _new(
        commands,
        "study",
        "what each choice of the training brings",
        "Train the default and, one at a time, each choice put back, for several seeds, on the cubes that "
        "were made last; measure all, and the baselines, on the same places. Each training is kept: an interrupted "
        "study goes on.",
        [
            "sarpipe study --dry-run",
            "sarpipe study --set train.epochs=30 --held-out other",
            "sarpipe study --choices speckle readout --seeds 5",
            "sarpipe study --choices   (the default beside the baselines alone)",
        ],
    )
    _add_settings(command, preset=True)
    command.add_argument("--choices", nargs="*", metavar="NAME", help="only these (default: all)")
    command.add_argument(
        "--held-out", metavar="DATA", help="measure on the cubes of this output, made by the same recipe"
    )
    command.add_argument(
        "--apart-km",
        type=_count(0, 20_000),
        default=50,
        metavar="KM",
        help="leave out places held out that are within this of one to learn from (default: 50, a block of the folds)",
    )
    command.add_argument("--seeds", type=_count(1, 100), default=3, metavar="N", help="trainings of each (default: 3)")
    command.add_argument("--dry-run", action="store_true", help="say which trainings are there; do nothing")
    _finish(command, _study, format=None, workers=None, dask=None)


def _add_neuco(commands: Any) -> None:
    command = _new(
        commands,
        "neuco",
        "NeuCo-Bench's protocol on a folder of labels",
        "Score the embeddings that were made last, or FILE, by the protocol of NeuCo-Bench (40 shuffle "
        "splits, linear probe, Q) on any labels, beside the last epoch, a ridge regression and random vectors.",
        [
            "sarpipe neuco labels",
            "sarpipe neuco labels --embeddings embeddings.csv --out neuco.csv",
            "sarpipe neuco labels --check   (only whether the CSV keeps the benchmark's rules)",
        ],
    )
    command.add_argument(
        "labels", metavar="LABELS", help="folder of <task>__regr.csv and <task>__cls.csv, columns id,label"
    )
    command.add_argument("--embeddings", metavar="FILE", help="a .csv or .parquet (default: those made last)")
    _add_data(command)
    command.add_argument("--check", action="store_true", help="say whether the CSV could be submitted; score nothing")
    command.add_argument("--out", metavar="FILE", help="write the results here too, a .csv or .json")
    _finish(command, _neuco, **_NO_SETTINGS)


def _add_quantize(commands: Any) -> None:
    command = _new(
        commands,
        "quantize",
        "embeddings in a smaller form",
        "Write the embeddings that were made last in a smaller form, as GeoParquet that holds all that "
        "decoding needs. Bytes a place: float16 2,048, int8 1,028, binary 128, pca_int8 64, pq (product "
        "quantization) 64. The last three learn from the embeddings and need 128 places.",
        ["sarpipe quantize int8", "sarpipe quantize pq --dry-run", "sarpipe quantize binary --json"],
        "What each form loses is in the report, and in figures.json of 'sarpipe evaluate'.",
    )
    command.add_argument(
        "form", metavar="FORM", choices=("float16", "int8", "binary", "pca_int8", "pq"), help="one of %(choices)s"
    )
    _add_data(command)
    command.add_argument(
        "--embeddings", metavar="NAME", help="the name of a folder in DIR/embeddings (default: those made last)"
    )
    command.add_argument("--dry-run", action="store_true", help="say whether it is there; do nothing")
    command.add_argument("--force", action="store_true", help="make it again although it is there")
    _finish(command, _quantize, **_NO_SETTINGS)


def _add_dequantize(commands: Any) -> None:
    command = _new(
        commands,
        "dequantize",
        "a smaller form back to float32",
        "Decode a file that 'sarpipe quantize' wrote to GeoParquet of 1024 x float32, as 'sarpipe embed' "
        "writes it. The file alone is enough.",
        ["sarpipe dequantize embeddings.pq.parquet decoded.parquet"],
    )
    command.add_argument("file", metavar="FILE", help="a file that 'sarpipe quantize' wrote")
    command.add_argument("out", metavar="OUT.parquet", help="the file to write; it must not exist")
    _finish(command, _dequantize)


def _add_search(commands: Any) -> None:
    command = _new(
        commands,
        "search",
        "places like this one",
        "Find the places whose embeddings are most like that of a place, of the place nearest to a "
        "position, or of a cube. Similarity is the cosine of the standardised vectors, as evaluate measures it.",
        _SEARCHES,
        "More than 20,000 places are searched by bits, and the best candidates compared exactly. Their\n"
        "index is made at the first search and kept in DIR/search; it may be deleted.",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--id", metavar="ID", help="a place, by its id")
    what.add_argument("--at", type=_position, metavar="LAT,LON", help="the place nearest to this position, degrees")
    what.add_argument("--cube", metavar="FILE", help="a cube of another place: .npy, float32 [12, 64, 64]")
    command.add_argument("-k", type=_count(1, 10_000), default=10, metavar="N", help="how many (default: 10)")
    command.add_argument(
        "--exclude-km",
        type=_km,
        metavar="KM",
        help="leave out places so near to it, for example 3 for those that overlap",
    )
    command.add_argument("--within-km", type=_km, metavar="KM", help="how far from --at a place may be (default: 25)")
    command.add_argument(
        "--method",
        choices=("exact", "binary"),
        help="compare all, or by bits and the best exactly (default: exact up to 20,000 places)",
    )
    command.add_argument("--out", metavar="PAGE.html", help="write a page too: map, hits, and their channels")
    _add_data(command)
    command.add_argument(
        "--embeddings",
        metavar="FILE",
        help="a GeoParquet file that sarpipe wrote, or the name of a folder in DIR/embeddings (default: made last)",
    )
    _finish(command, _search)


def _add_verify(commands: Any) -> None:
    command = _new(
        commands,
        "verify",
        "whether all that was made is whole",
        "Read every file of every artefact below DIR and compare it with the checksum that was taken when it was made. "
        "Says which file of which artefact is damaged and what makes it anew, and what killed runs have left. Changes "
        "nothing. Exit code 1 where something is damaged.",
        ["sarpipe verify", "sarpipe verify --data s3://bucket/output", "sarpipe verify --json | jq .damaged"],
    )
    _add_data(command)
    _finish(command, _verify)


def _add_gc(commands: Any) -> None:
    command = _new(
        commands,
        "gc",
        "remove what can never be of use",
        "Remove from DIR what killed runs have left, and what other versions of sarpipe have made if nothing that "
        "stays was made from it. What a killed run had finished is put in its place. Embeddings, reports and studies "
        "stay, and so do all that they were made from and what is damaged. Beside a run it is safe; a rerun afterwards "
        "makes nothing anew.",
        ["sarpipe gc --dry-run", "sarpipe gc", "sarpipe gc --data other --json"],
    )
    _add_data(command)
    command.add_argument("--dry-run", action="store_true", help="say what could go, and why; remove nothing")
    _finish(command, _gc)


def _add_runs(commands: Any) -> None:
    command = _new(
        commands,
        "runs",
        "what ran, what it took, and how two runs differ",
        "List the runs on DIR, the newest first, by their logs in DIR/runs: when, what, how each ended, what it "
        "computed and what was there.",
        ["sarpipe runs", "sarpipe runs -n 100 --json | jq '.runs[] | select(.state != \"completed\")'", *_RUNS],
        "A run is named by its id, the beginning or the last four digits of it, or last, last-1, ...",
    )
    command.add_argument("-n", type=_count(1, 1_000_000), default=20, metavar="N", help="how many (default: 20)")
    _add_data(command)
    _finish(command, _runs, action="list")
    more = command.add_subparsers(metavar="ACTION")
    show = _new(
        more,
        "show",
        "one run: stages, energy, what was refused",
        "Show what each stage of a run took, its energy where the machine says it, and the stores that were refused.",
        _RUNS[:1],
    )
    show.add_argument("run", metavar="RUN", help="which")
    compared = _new(
        more,
        "compare",
        "how two runs differ",
        "Say in which settings, versions and inputs two runs differ, what each stage took, the figures of both with "
        "their 95 % intervals, and which artefacts are the same bytes.",
        _RUNS[1:],
    )
    compared.add_argument("first", metavar="A", help="a run")
    compared.add_argument("second", metavar="B", help="another")
    for name, action in (("show", show), ("compare", compared)):
        # What was given before the action stands.
        _add_data(action, default=argparse.SUPPRESS)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=_JSON)
        action.set_defaults(action=name)


def _position(text: str) -> tuple[float, float]:
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LAT,LON, for example 48.1,11.6") from None
    return latitude, longitude


def _km(text: str) -> float:
    try:
        distance = float(text)
    except ValueError:
        distance = -1
    if not 0 <= distance <= 20_040:
        raise argparse.ArgumentTypeError(f"{text!r} is not a distance in km")
    return distance


def _count(low: int, high: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _simulate(options: argparse.Namespace) -> int:
    from pathlib import Path

    from sarpipe.flows.console import Console
    from sarpipe.simulate import simulate
    from sarpipe.storage import is_url

    if is_url(options.out):
        raise UsageError(f"{options.out} is no folder of this machine", "Simulate into a folder and copy it there")
    with Console() as console:
        stores = simulate(
            Path(options.out),
            stores=options.stores,
            places=options.places,
            seed=options.seed,
            progress=lambda done, total: console.progress("simulate", done, total, "places"),
        )
    if options.json:
        print(json.dumps({"status": "completed", "stores": [str(store) for store in stores]}))
    else:
        print(
            f"{len(stores)} stores of {options.places} places in {options.out}\nNext: sarpipe run {options.out}",
            file=sys.stderr,
        )
    return 0


def _download(options: argparse.Namespace) -> int:
    from sarpipe.flows.download import run_download

    return run_download(options)


def _study(options: argparse.Namespace) -> int:
    from sarpipe.flows.study import run_study

    held_out = None if options.held_out is None else _settings(options, options.held_out)
    return run_study(options, _settings(options), held_out)


def _quarantine(options: argparse.Namespace) -> int:
    from sarpipe.flows.quarantine import run_quarantine

    return run_quarantine(options, _settings(options))


def _neuco(options: argparse.Namespace) -> int:
    from sarpipe.flows.neuco import run_neuco

    return run_neuco(options, _settings(options))


def _quantize(options: argparse.Namespace) -> int:
    from sarpipe.flows.quantize import run_quantize

    return run_quantize(options, _settings(options))


def _dequantize(options: argparse.Namespace) -> int:
    from sarpipe.flows.quantize import run_dequantize

    return run_dequantize(options)


def _search(options: argparse.Namespace) -> int:
    from sarpipe.flows.search import run_search

    return run_search(options)


def _verify(options: argparse.Namespace) -> int:
    from sarpipe.flows.verify import run_verify
    from sarpipe.stages.search import output_folder

    return run_verify(options, output_folder(options.data))


def _gc(options: argparse.Namespace) -> int:
    from sarpipe.flows.gc import run_gc
    from sarpipe.stages.search import output_folder

    return run_gc(options, output_folder(options.data))


def _runs(options: argparse.Namespace) -> int:
    from sarpipe.flows.runs import run_compare, run_runs, run_show
    from sarpipe.stages.search import output_folder

    run = {"list": run_runs, "show": run_show, "compare": run_compare}[options.action]
    return run(options, output_folder(options.data))


def _stage(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return _together(options, settings)
    if options.dry_run:
        return _dry_run(options, settings)
    if options.prefect or os.environ.get("PREFECT_API_URL"):
        from sarpipe.flows.supervised import run_flow

        results, seen_at = run_flow(options.stage, _flow_parameters(options))
    else:
        results, seen_at = _straight(options, settings), ""
    return _finished(options, settings, results, seen_at)


def _settings(options: argparse.Namespace, data: str | None = None) -> Any:
    """The settings that the command line gives; with output in ``data`` instead of its own."""
    from sarpipe.settings import resolve

    return resolve(
        data=options.data if data is None else data,
        recipe=options.recipe,
        preset=options.preset,
        config=options.config,
        overrides=_overrides(options),
        format=options.format,
        workers=options.workers,
        dask=options.dask,
    )


def _straight(options: argparse.Namespace, settings: Any) -> dict[str, Any]:
    from sarpipe.flows.console import Console
    from sarpipe.stages import straight

    with Console() as console:
        if options.stage == "run":
            return straight.run(
                settings, options.source, console.progress, force=options.force, first=options.from_stage
            )
        if options.stage == "preprocess":
            done = straight.preprocess(settings, options.source, console.progress, force=options.force)
            return {"preprocess": done}
        return {options.stage: straight.later(options.stage, settings, console.progress, force=options.force)}


def _together(options: argparse.Namespace, settings: Any) -> int:
    """One of several processes of torchrun."""
    if options.stage != "train" or options.prefect or options.dry_run:
        raise UsageError(
            "several processes (torchrun) are for training alone, straight and not through Prefect",
            "torchrun --nproc-per-node 2 --no-python sarpipe train",
        )
    results = _straight(options, settings)
    return 0 if _RANK else _finished(options, settings, results, "")


def _flow_parameters(options: argparse.Namespace) -> dict[str, Any]:
    from pathlib import Path

    parameters: dict[str, Any] = {
        "data": _absolute(options.data),
        "recipe": options.recipe,
        "config": str(Path(options.config).resolve()) if options.config else None,
        "overrides": _overrides(options) or None,
        "force": options.force,
    }
    if options.stage != "preprocess":
        parameters["preset"] = options.preset
    if options.stage in ("preprocess", "run"):
        parameters |= {
            "source": _absolute(options.source) if options.source else None,
            "format": options.format,
            "workers": options.workers,
            "dask": options.dask,
        }
    if options.stage == "run":
        parameters["from_stage"] = options.from_stage
    return parameters


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of ``--set``, and of the options that are short for one that is a path."""
    from sarpipe.settings import parse_overrides

    paths = {name: getattr(options, name, None) for name in ("model", "labels")}
    return parse_overrides(options.set) | {name: os.path.abspath(path) for name, path in paths.items() if path}


def _absolute(path: str) -> str:
    """For a flow, whose process may have another folder."""
    from sarpipe.storage import is_url, local_path

    return path if is_url(path) else os.path.abspath(local_path(path))


def _dry_run(options: argparse.Namespace, settings: Any) -> int:
    from sarpipe.flows.console import print_plan
    from sarpipe.stages.chain import plan
    from sarpipe.storage import address

    steps = plan(settings, options.stage, options.source, force=options.force, first=options.from_stage)
    if options.json:
        rows = [
            {
                "stage": step.stage,
                "name": step.name,
                "state": step.state,
                "why": step.why,
                "code": step.code,
                "folder": address(step.folder) if step.folder else None,
            }
            for step in steps
        ]
        print(json.dumps({"status": "planned", "plan": rows}))
    else:
        print_plan(steps)
    return 3 if any(step.state == "refused" for step in steps) else 0


def _finished(options: argparse.Namespace, settings: Any, results: dict[str, Any], seen_at: str) -> int:
    from sarpipe.flows.console import print_summary
    from sarpipe.runs.log import run_cost
    from sarpipe.stages.chain import summarise

    cost = run_cost()
    summary = summarise(settings, results) | ({"run": cost.document()} if cost else {})
    if options.json:
        print(json.dumps(summary))
    print_summary(summary, cost, seen_at)
    return 3 if summary.get("quarantine") else 0


if __name__ == "__main__":
    sys.exit(main())
