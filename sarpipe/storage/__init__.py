"""The verified store: what is written is complete, checksummed and found again, or it is not there."""

from sarpipe.storage.artefact import Artefact, commit, inspect, open_verified
from sarpipe.storage.key import code_version, digest_json, file_sha256
from sarpipe.storage.mirror import (
    address,
    brought,
    ensure,
    fetched,
    folders,
    link,
    mount,
    read_small,
    small_files,
    synced,
    write_small,
)
from sarpipe.storage.remote import RemotePath, Stat, is_url, local_path, remote_path

__all__ = [
    "Artefact",
    "RemotePath",
    "Stat",
    "address",
    "brought",
    "code_version",
    "commit",
    "digest_json",
    "ensure",
    "fetched",
    "file_sha256",
    "folders",
    "inspect",
    "is_url",
    "link",
    "local_path",
    "mount",
    "open_verified",
    "read_small",
    "remote_path",
    "small_files",
    "synced",
    "write_small",
]
