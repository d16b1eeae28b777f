"""The verified store: what is written is complete, checksummed and found again, or it is not there."""

from sarpipe.storage.artefact import Artefact, commit, ensure, inspect, open_verified
from sarpipe.storage.key import code_version, digest_json, file_sha256

__all__ = [
    "Artefact",
    "code_version",
    "commit",
    "digest_json",
    "ensure",
    "file_sha256",
    "inspect",
    "open_verified",
]
