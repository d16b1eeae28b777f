"""The one compiled part. All else is in pyproject.toml, which cannot compute the stamp of a source file."""

from hashlib import sha256
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("sarpipe/preprocess/kernel.c")

setup(
    ext_modules=[
        Extension(
            "sarpipe.preprocess._kernel",
            [str(SOURCE)],
            # No fused multiply-adds but those that are asked for by name: same bits from every compiler.
            extra_compile_args=["-O3", "-ffp-contract=off", "-fno-math-errno"],
            define_macros=[("SOURCE_SHA256", f'"{sha256(SOURCE.read_bytes()).hexdigest()}"')],
            # Where it cannot be compiled, sarpipe works all the same, slower.
            optional=True,
        )
    ]
)
