"""The codes of errors: short names that stay as they are, for whoever sorts, counts or acts on errors by machine.

The sentence of an error says what was found, and may become another; its code says of which kind it is. A code is
never given another meaning. The table in docs/reliability.md is compared with this list by a test.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What kind of error it is.

    Attributes:
        meaning: What it says, for the documents.
        helps: What to do. The hint of a single error may know more.
    """

    meaning: str
    helps: str

    def __new__(cls, name: str, meaning: str, helps: str) -> Code:
        """A member: its name, which is what is written everywhere, its meaning, and what helps."""
        code = str.__new__(cls, name)
        code._value_ = name
        code.meaning, code.helps = meaning, helps
        return code

    # Raw stores and places: with these a place is in quarantine, or a store is refused.
    BROKEN_ARCHIVE = (
        "broken-archive",
        "A zip or tar is not whole: cut short, or damaged where it says what it holds",
        "Fetch the file again; every run tries it again",
    )
    UNSAFE_ARCHIVE = (
        "unsafe-archive",
        "A zip or tar holds what no store does: a name twice, a link, a device, another way of packing",
        "Fetch the file again; if it is so at its source, do not use it",
    )
    TOO_LARGE = (
        "too-large",
        "A file, an array, a chunk or the number of them is larger than any of the data set",
        "Fetch the file again; if it is so at its source, it is no store of the data set",
    )
    CHECKSUM = (
        "checksum",
        "Bytes are damaged: they are not what their checksum says, or the checksums of an unpacked store are damaged",
        "Fetch the file again; if an unpacked store was changed on purpose, delete its file in sources/ of the output",
    )
    MISSING_CHUNK = (
        "missing-chunk",
        "A chunk, or another file that a store needs, is not there",
        "Fetch the store again; every run tries it again",
    )
    BAD_CHUNK = (
        "bad-chunk",
        "A chunk cannot be decoded, or holds less than it has to",
        "Fetch the file again; every run tries it again",
    )
    CODEC = (
        "codec",
        "A chunk is packed by a codec or a filter that is not allowed, as it may run code",
        "Pack the store anew with blosc, lz4, zlib or zstd and without filters, if it is to be trusted",
    )
    METADATA = (
        "metadata",
        "What a store says of one of its arrays cannot be used: no JSON, or no plain Zarr v2 array",
        "Fetch the store again; every run tries it again",
    )
    LAYOUT = (
        "layout",
        "It is in none of the three layouts: Zarr v3, an array that every store has is not there, a tar without places",
        "See that it is SSL4EO-S12 v1.1 S1GRD (docs/formats.md)",
    )
    SCHEMA = (
        "schema",
        "An array of a store is not of the bands, shape or type that it has in the data set",
        "Use stores with VV and VH, 1 to 4 dates and 264 x 264 pixels (docs/formats.md)",
    )
    TRUTH = (
        "truth",
        "The table of truth beside a store is damaged, or is not of its places",
        "Mend the table or take it away: the store can be used without",
    )
    BAD_ID = (
        "bad-id",
        "What a place or a store is called cannot name files or rows",
        "Rename it: letters, digits, '.', '_' and '-', beginning with a letter or digit",
    )
    DUPLICATE_ID = (
        "duplicate-id",
        "An id stands twice: in a store, in a table, or in two stores of a set",
        "Of two stores it is kept once, from the first; if that is the wrong one, take it out of the source",
    )
    NO_DATA = (
        "no-data",
        "Too few pixels or dates of a place hold data for the recipe",
        "The data are whole but the recipe does not take them: another setting of the recipe may",
    )
    CHANGED = (
        "changed",
        "It was replaced, moved or deleted since the run was planned, or while it was read",
        "Run it again when nothing writes to the source any more",
    )
    NOT_FROM_URL = (
        "not-from-url",
        "It cannot be used from its URL: it is unpacked, or its server gives no checksum by which a change is noticed",
        "Fetch it first, and give the local file or folder",
    )
    IO = (
        "io",
        "The system could not read or write a file, or did not answer in time",
        "See that disk, network and permissions are right; every run tries it again",
    )
    WORKER_DIED = (
        "worker-died",
        "Dask workers died while they made the unit of this store, at last with nothing beside it",
        "Run it again; --workers 1 gives its worker all of the memory",
    )
    MEMORY = (
        "memory",
        "The memory of this machine, of a Dask worker or of a GPU does not suffice",
        "Run it again with --workers 1, a smaller train.batch_size or memory_gb, as the error says",
    )

    # What is made of them, tables that are given, and whole stages.
    TOO_FEW = (
        "too-few",
        "No place is left, or fewer than are needed",
        "Give more stores; 'sarpipe quarantine' says why places were put aside",
    )
    NOT_FINITE = (
        "not-finite",
        "Numbers are not finite: of a loss, of weights, of embeddings or of labels",
        "Follow the hint: mostly a smaller learning rate, or the named places taken away",
    )
    BAD_TABLE = (
        "bad-table",
        "A table or array of embeddings or labels cannot be read, or is not of the columns, types or shape needed",
        "Run the stage that wrote it again; mend a table of your own",
    )
    USAGE = (
        "usage",
        "A path, an option or a setting is wrong",
        "Type what the hint says; 'sarpipe COMMAND --help' shows examples",
    )
    NOT_MADE = (
        "not-made",
        "What an earlier stage makes is not there",
        "Run that stage first, with the same --data and settings",
    )
    CREDENTIALS = (
        "credentials",
        "A server takes no one without credentials, or does not take these",
        "Set or mend the credentials that the hint names",
    )
    DAMAGED = (
        "damaged",
        "A file of sarpipe's own does not match its manifest or its checksum",
        "Run the stage that made it again: it is made anew; 'sarpipe verify' names all",
    )
    CHECKPOINTS_DAMAGED = (
        "checkpoints-damaged",
        "No checkpoint of a training under way is whole",
        "Look after the disk; to train from the first step again, delete the folder that is named",
    )
    ACCOUNT = (
        "account",
        "The account of the places does not come out: one is lost or made up between two stages",
        "Run it again with --force; if it says so again, report it as a defect",
    )
    DISK_FULL = ("disk-full", "No space is left, or less than is needed", "Free some space and run it again")
    READ_ONLY = (
        "read-only",
        "The output folder cannot be written to",
        "Give permission, or another output folder (--data, or OUT)",
    )
    REMOTE = (
        "remote",
        "A server or the network fails after all attempts, or answers what cannot be used",
        "Check the URL and the network, and run it again later: what was finished is kept",
    )
    DOWNLOAD = (
        "download",
        "The dataset's home refuses, or does not have what was asked for",
        "Check the names, HF_ENDPOINT and HF_TOKEN, or try again later",
    )
    CLUSTER = (
        "cluster",
        "Dask workers have another sarpipe, other libraries or other files than the process that uses them",
        "Install the same on all of them, and let them see the same paths",
    )
    CLUSTER_LOST = (
        "cluster-lost",
        "The Dask scheduler does not answer or is gone, or no worker came",
        "See that scheduler and workers run, then run it again: what was finished is kept",
    )
    TRAINING = (
        "training",
        "Training cannot start or go on: nothing to learn from, collapsed, or processes that differ",
        "Change the setting that the hint names",
    )
    SERVER_AWAY = (
        "server-away",
        "The Prefect server does not answer, or has gone away",
        "Start it and run it again, or unset PREFECT_API_URL to do without",
    )
    INTERRUPTED = (
        "interrupted",
        "Somebody has ended it: Ctrl-C, SIGTERM",
        "Run it again to go on: what was finished is kept",
    )
    DEFECT = ("defect", "Nobody has foreseen this", "Report it, with the traceback")


def helps(code: str) -> str:
    """What helps, by a code that was read back: of another version of sarpipe, it may not be known here."""
    known = {one.value: one.helps for one in Code}
    return known.get(code, "Run 'sarpipe preprocess SOURCE' again: another version of sarpipe has put this aside")
