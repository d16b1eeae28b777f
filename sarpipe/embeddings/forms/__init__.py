"""Smaller forms of vectors: float16, int8, binary, principal components as int8, product quantization."""

from __future__ import annotations

from sarpipe.embeddings.forms.binary import Binary
from sarpipe.embeddings.forms.float16 import Float16
from sarpipe.embeddings.forms.form import FEWEST, Form
from sarpipe.embeddings.forms.int8 import Int8
from sarpipe.embeddings.forms.pca_int8 import PcaInt8
from sarpipe.embeddings.forms.product import Product

__all__ = ["FEWEST", "FORMS", "Binary", "Float16", "Form", "Int8", "PcaInt8", "Product"]

FORMS: dict[str, type[Form]] = {
    "float16": Float16,
    "int8": Int8,
    "binary": Binary,
    "pca_int8": PcaInt8,
    "pq": Product,
}
"""By name, from the largest to the smallest."""
