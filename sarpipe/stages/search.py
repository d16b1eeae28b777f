"""What a search works on: embeddings, their index, the model and the cubes that they were made by and from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE
from sarpipe.codes import Code
from sarpipe.errors import DamagedError, StorageError, UsageError
from sarpipe.search.found import EXACT_MOST
from sarpipe.search.index import DIRECTIONS, Index
from sarpipe.storage import (
    Artefact,
    address,
    code_version,
    digest_json,
    fetched,
    file_sha256,
    folders,
    inspect,
    is_url,
    local_path,
    mount,
    open_verified,
    synced,
)
from sarpipe.storage.artefact import MANIFEST, ensure, is_of, part_of, verify_part

if TYPE_CHECKING:
    import pandas as pd

CODE = (
    "channels.py",
    "checksums.py",
    "embeddings/geoparquet.py",
    "embeddings/table.py",
    "search/binary.py",
    "search/direction.py",
    "search/exact.py",
    "search/index.py",
    "search/rows.py",
    "standard.py",
)
"""What shapes an index."""
_PARQUET = "embeddings.parquet"
_LARGE = 100e6
"""Bytes of embeddings whose reading takes a person's time."""
_CUBE = (len(CHANNELS), CUBE_SIZE, CUBE_SIZE)


@dataclass(frozen=True)
class Source:
    """Embeddings in a file.

    Attributes:
        parquet: The GeoParquet file.
        digest: SHA-256 of what it is part of, or of itself.
        artefact: What it is part of; None: a file by itself.
    """

    parquet: Path
    digest: str
    artefact: Artefact | None


def output_folder(data: str | Path) -> Path:
    """The output folder ``data``, or the cache of its URL, as `sarpipe.settings.resolve` has it."""
    return mount(str(data)) if is_url(data) else local_path(data).resolve()


def find_source(data: Path, named: str | None) -> Source:
    """The embeddings that were made last below ``data``, or those that are named.

    Args:
        data: From `output_folder`.
        named: A GeoParquet file, or the name of a folder of embeddings below ``data``.

    Raises:
        UsageError: There are none; or several at a URL, where nobody knows which was made last.
        DamagedError: What says what they are is damaged.
    """
    if named is not None and named.endswith(".parquet"):
        path = local_path(named).resolve()
        if not path.is_file():
            raise UsageError(f"{named} does not exist", "Give a GeoParquet file that 'sarpipe embed' wrote")
        artefact = part_of(path)
        return Source(path, file_sha256(path) if artefact is None else artefact.digest, artefact)
    if named is None and (data / MANIFEST).is_file() and (data / _PARQUET).is_file():
        return _of_artefact(inspect(data))
    remote = address(data) != str(data)
    there = sorted(folders(data / "embeddings"), key=_made_at, reverse=True)
    # Smaller forms lie there too. What is damaged and was made later is an error: an older one is another answer.
    whole = (synced(folder) if remote else inspect(folder) for folder in there if named in (None, folder.name))
    made = (artefact for artefact in whole if _PARQUET in artefact.files or (named and _table(artefact)))
    found = list(made) if remote else list(islice(made, 1))
    if not found:
        what = f"embeddings {named!r}" if named else "embeddings"
        others = ", ".join(folder.name for folder in there)
        hint = f"There are {others}" if others else _elsewhere(data)
        raise UsageError(f"there are no {what} below {address(data)}", hint, code=Code.NOT_MADE)
    if remote and len(found) > 1:
        names = ", ".join(artefact.folder.name for artefact in found)
        raise UsageError(f"{address(data)} holds several embeddings: {names}", "Name one with --embeddings NAME")
    return _of_artefact(found[0])


def made_last(data: Path, named: str | None = None) -> Artefact:
    """The embeddings that were made last below ``data``, or those in the folder of this name, verified.

    Raises:
        UsageError: As of `find_source`, or a file is named.
        DamagedError: They are damaged.
    """
    source = find_source(data, named)
    if source.artefact is None:
        raise UsageError(f"{named} is a file by itself", "Name a folder of embeddings below the output folder")
    if source.parquet.name != _PARQUET:
        raise UsageError(f"{named} is a smaller form of embeddings", "Name the embeddings that it was made from")
    return open_verified(source.artefact.folder)


def open_index(source: Source, data: Path, say: Callable[[str], None]) -> Index:
    """The index of embeddings; of more than `EXACT_MOST` places it is made at the first search and kept below ``data``.

    Everything that is read of it is checked: small files as those of any artefact, directions row by row.

    Args:
        source: The embeddings.
        data: The output folder.
        say: Called with a line of text where it takes longer.

    Raises:
        DamagedError: The embeddings are damaged.
        DataError: They cannot be read, or hold no place.
    """
    code = code_version(CODE)
    key = digest_json({"stage": "search", "inputs": {"embeddings": source.digest}, "code": code})
    folder = data / "search" / f"index-{key[:12]}"
    with suppress(FileNotFoundError, DamagedError):
        if is_of(open_verified(folder, unread=(DIRECTIONS,)), {"key": key}):
            return Index.read(folder)
    index = _make_index(source, say)
    if len(index) <= EXACT_MOST:
        return index
    say(f"keeping the index of {len(index):,} places in {folder}")
    meta = {"stage": "search", "key": key, "inputs": {"embeddings": source.digest}, "code": code}
    try:
        # On this machine alone, also where the output is at a URL: it is made anew faster than it is fetched.
        ensure(folder, meta, index.write)
    except StorageError as error:
        say(f"the index cannot be kept, so the next search takes as long: {error.message}")
        return index
    return Index.read(folder)


def read_table(source: Source) -> Any:
    """The embeddings as `sarpipe.embeddings.Embeddings`, checked; those in a smaller form decoded.

    Raises:
        DamagedError: The file does not match its manifest.
        DataError: It cannot be read.
    """
    from sarpipe.embeddings import read_geoparquet
    from sarpipe.embeddings.quantized import is_quantized, read_quantized

    if source.artefact is not None:
        verify_part(source.parquet)
    return read_quantized(source.parquet)[0] if is_quantized(source.parquet) else read_geoparquet(source.parquet)


def read_cube(path: str) -> NDArray[np.float32]:
    """The cube ``[12, 64, 64]`` in a ``.npy`` file, in the units of the recipe, NaN where there is no data.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    hint = f"Save one cube of a unit: numpy.save('one.npy', cubes[0]), float32 {list(_CUBE)}"
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} cannot be read as .npy: {error}", hint) from error
    if not isinstance(stored, np.ndarray):
        raise UsageError(f"{path} is an archive of arrays", hint)
    return checked_cube(stored, path)


def checked_cube(cube: NDArray[Any], name: str = "the cube") -> NDArray[np.float32]:
    """One cube as ``float32 [12, 64, 64]``; NaN where there is no data.

    Raises:
        UsageError: It is of another shape or type, infinite somewhere, or without data everywhere.
    """
    hint = f"A cube is float32 {list(_CUBE)}, as one of cubes.npy of a unit"
    if cube.dtype.kind != "f" or cube.shape not in (_CUBE, (1, *_CUBE)):
        raise UsageError(f"{name} is {cube.dtype} {list(cube.shape)}", hint)
    # A copy: a file that is mapped cannot be written to, which torch warns of.
    checked = np.array(cube, np.float32).reshape(_CUBE)
    if np.isinf(checked).any() or not np.isfinite(checked).any():
        raise UsageError(f"{name} holds infinite numbers, or no data at all", hint)
    return checked


def embed_cube(source: Source, data: Path, cube: NDArray[np.float32], device: str = "auto") -> NDArray[np.float32]:
    """Embed one cube ``[12, 64, 64]`` by the model that made these embeddings: ``float32 [1024]``.

    Raises:
        UsageError: That model is not below ``data``.
        DamagedError: It is damaged.
    """
    from sarpipe.model.extract import embed
    from sarpipe.model.weights import load_encoder

    digest = _inputs(source).get("model")
    for folder in folders(data / "models"):
        found = _artefact_of(folder, lambda model: model.digest == digest)
        if found is not None:
            open_verified(found.folder)
            vector: NDArray[np.float32] = embed(load_encoder(found.folder), cube[None], device=device)[0]
            return vector
    raise UsageError(
        f"the model that made {source.parquet} (digest {str(digest)[:12]}) is not below {address(data)}",
        "Give the output folder of its training with --data",
    )


def cubes_of(source: Source, data: Path, ids: Sequence[str]) -> tuple[NDArray[np.float32], pd.DataFrame] | None:
    """The cubes ``[n, 12, 64, 64]`` of these places and what is known of them, in the order of ``ids``.

    Of the cubes' units only those that hold one of these places are opened and checked.

    Returns:
        None where the cubes that these embeddings were made from are not below ``data`` any more.

    Raises:
        DamagedError: A unit is damaged.
    """
    import pandas as pd

    from sarpipe.stages.places import UNIT, UNIT_ROW, cubes_digest

    digest = _inputs(source).get("cubes")
    sets = [one for recipe in folders(data / "cubes") for one in folders(recipe) if one.name.startswith("set-")]
    for folder in sets:
        cube_set = _artefact_of(folder, lambda one: cubes_digest(one) == digest)
        if cube_set is None:
            continue
        open_verified(cube_set.folder)
        table = pd.read_parquet(cube_set.path("index.parquet"), filters=[("id", "in", list(ids))])
        table = table.set_index("id", drop=False).reindex(list(ids))
        if table[UNIT].isna().any():
            return None
        digests = json.loads(cube_set.path("units.json").read_bytes())
        try:
            units = {str(unit): fetched(folder.parent / unit, digests[unit]["digest"]) for unit in table[UNIT].unique()}
        except FileNotFoundError:
            return None
        rows = zip(table[UNIT], table[UNIT_ROW], strict=True)
        files = {name: np.load(unit.path("cubes.npy"), mmap_mode="r") for name, unit in units.items()}
        return np.stack([files[unit][int(row)] for unit, row in rows]), table
    return None


def _of_artefact(artefact: Artefact) -> Source:
    return Source(artefact.path(_table(artefact) or _PARQUET), artefact.digest, artefact)


def _table(artefact: Artefact) -> str | None:
    """The GeoParquet file of embeddings, or of a smaller form of them."""
    tables = [name for name in artefact.files if name.endswith(".parquet")]
    return _PARQUET if _PARQUET in tables else next(iter(tables), None)


def _elsewhere(data: Path) -> str:
    below = sorted(path.parent for path in data.glob("*/embeddings") if any(folders(path)))
    if below:
        return f"There are some in {below[0]}: give it with --data"
    return "Run 'sarpipe run SOURCE' or 'sarpipe embed' first"


def _made_at(folder: Path) -> tuple[int, str]:
    try:
        return (folder / MANIFEST).stat().st_mtime_ns, folder.name
    except FileNotFoundError:
        return 0, folder.name


def _make_index(source: Source, say: Callable[[str], None]) -> Index:
    size = source.parquet.stat().st_size
    if size > _LARGE:
        say(f"no index of {source.parquet} yet: reading its {size / 1e6:,.0f} MB")
    return Index.of_table(read_table(source))


def _inputs(source: Source) -> Mapping[str, Any]:
    """Digests of what the embeddings were made from, as their file says."""
    import pyarrow.parquet as pq

    try:
        document = json.loads(pq.read_schema(source.parquet).metadata[b"sarpipe"])
        # A smaller form says what its embeddings say of themselves.
        inputs: Mapping[str, Any] = document.get("embeddings", document)["inputs"]
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return inputs


def _artefact_of(folder: Path, wanted: Callable[[Artefact], bool]) -> Artefact | None:
    """The artefact of a folder, if it is one and the one that is wanted; what is damaged is not."""
    try:
        artefact = synced(folder) if address(folder) != str(folder) else inspect(folder)
        return artefact if wanted(artefact) else None
    except (FileNotFoundError, DamagedError, KeyError):
        return None
