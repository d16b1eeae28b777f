"""``sarpipe search``: places like this one."""

from __future__ import annotations

import json
import math
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from sarpipe.errors import UsageError
from sarpipe.search import Found, Hit, Index, Query, by_id, by_vector, find, nearest_to
from sarpipe.stages.search import Source, cubes_of, embed_cube, find_source, open_index, output_folder, read_cube
from sarpipe.storage import address, is_url, local_path
from sarpipe.storage.durable import write_out


def run_search(options: Namespace) -> int:
    """Do what the command line asks for; its exit code."""
    started = time.perf_counter()
    # What is wrong with the command is said before anything large is read.
    cube = None if options.cube is None else read_cube(options.cube)
    _check_out(options.out)
    if options.within_km is not None and options.at is None:
        raise UsageError("--within-km says how far from --at a place may be", "Give --at LAT,LON, or leave it out")
    data = output_folder(options.data)
    source = find_source(data, options.embeddings)
    index = open_index(source, data, _say)
    vector = None if cube is None else embed_cube(source, data, cube)
    opened = time.perf_counter()
    query, away = _query(options, index, vector)
    found = find(index, query, options.k, method=options.method, exclude_km=options.exclude_km)
    done = time.perf_counter()
    seconds = {"open": round(opened - started, 3), "search": round(done - opened, 3)}
    if options.out is not None:
        _write_page(Path(options.out), index, query, found, source, data, cube, away)
    if options.json:
        print(json.dumps(_document(query, away, found, source, seconds, options.out)))
        return 0
    _print(query, away, found, seconds, len(index), source)
    if options.out is not None:
        _say(f"  page   {options.out}")
    return 0


def _query(options: Namespace, index: Index, vector: Any) -> tuple[Query, float | None]:
    """What is searched for, and how far from the position that was given it is, km."""
    if vector is not None:
        return by_vector(index, vector, f"the cube in {Path(options.cube).name}"), None
    if options.at is not None:
        latitude, longitude = options.at
        return nearest_to(index, latitude, longitude, options.within_km)
    return by_id(index, options.id), None


def _check_out(out: str | None) -> None:
    if out is None:
        return
    if is_url(out):
        raise UsageError(f"--out {out} is no file of this machine", "Write it to a file and copy it there")
    if Path(out).suffix != ".html":
        raise UsageError(f"--out {out} is no .html", "For example --out search.html")
    parent = local_path(out).resolve().parent
    if not parent.is_dir():
        raise UsageError(f"--out {out}: {parent} is no folder", f"mkdir -p {parent}")
    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder", f"For example --out {Path(out) / 'search.html'}")


def _write_page(
    out: Path, index: Index, query: Query, found: Found, source: Source, data: Path, cube: Any, away: float | None
) -> None:
    from sarpipe.search.page import render

    ids = [hit.id for hit in found.hits]
    asked: tuple[Any, Any] | None = None if cube is None else (cube[None], None)
    answered = cubes_of(source, data, ids if query.row is None else [index.ids[query.row].decode(), *ids])
    if answered is not None and query.row is not None:
        cubes, records = answered
        asked, answered = (cubes[:1], records.iloc[:1]), (cubes[1:], records.iloc[1:])
    page = render(index, query, found, (asked, answered), _name(source), away)
    write_out(out, lambda file: file.write_text(page, encoding="utf-8"))


def _document(
    query: Query, away: float | None, found: Found, source: Source, seconds: dict[str, float], out: str | None
) -> dict[str, Any]:
    return {
        "status": "completed",
        "query": {
            "name": query.name,
            "latitude": _or_none(query.latitude),
            "longitude": _or_none(query.longitude),
            **({} if away is None else {"distance_km": round(away, 3)}),
        },
        "hits": [_as_json(hit) for hit in found.hits],
        "method": found.method,
        "places": {"compared": found.searched, "left_out": found.left_out},
        "outputs": {"embeddings": address(source.parquet), **({} if out is None else {"page": out})},
        "seconds": seconds,
    }


def _as_json(hit: Hit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "id": hit.id,
        "similarity": hit.similarity,
        "distance_km": _or_none(hit.distance_km),
        "latitude": _or_none(hit.latitude),
        "longitude": _or_none(hit.longitude),
        "dates": [f"{date.astype('datetime64[s]')}Z" for date in hit.dates],
    }


def _print(
    query: Query, away: float | None, found: Found, seconds: dict[str, float], places: int, source: Source
) -> None:
    where = "" if math.isnan(query.latitude) else f" at {query.latitude:.4f}, {query.longitude:.4f}"
    distance = "" if away is None else f", {away:,.1f} km from the position given"
    _say(f"places like {query.name}{where}{distance}")
    width = max([5, *(len(hit.id) for hit in found.hits)])
    print(f"rank  {'place':<{width}}  similarity  distance km  latitude  longitude  dates")
    for hit in found.hits:
        days = " ".join(str(date.astype("datetime64[D]")) for date in hit.dates) or "-"
        print(
            f"{hit.rank:>4}  {hit.id:<{width}}  {hit.similarity:>10.4f}  {_or_dash(hit.distance_km, 11, 1)}"
            f"  {_or_dash(hit.latitude, 8, 3)}  {_or_dash(hit.longitude, 9, 3)}  {days}"
        )
    left_out = f", {found.left_out:,} left out as too near" if found.left_out else ""
    _say(
        f"{found.searched:,} of {places:,} places compared{left_out}; {found.method}, {seconds['search']:.3f} s "
        f"after {seconds['open']:.2f} s of opening {_name(source)}"
    )


def _name(source: Source) -> str:
    """Embeddings by the name of their folder; a file by itself by its own."""
    return source.parquet.parent.name if source.artefact is not None else source.parquet.name


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_dash(value: float, width: int, digits: int) -> str:
    return f"{'-' if math.isnan(value) else format(value, f',.{digits}f'):>{width}}"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
