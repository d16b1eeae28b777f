"""What a training run is set to. Does not import torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sarpipe.ssl.view_settings import ViewSettings

PRESETS: dict[str, dict[str, Any]] = {
    "sar": {},
    "original": {
        "epochs": 10,
        "batch_size": 64,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup_epochs": 0,
        "gradient_clip": 0.0,
        "ema": 0.0,
        "loss": "nt_xent",
        "temperature": 0.5,
        "neighbour_km": 0.0,
        "readout": "tokens",
        "positions": False,
        "dropout": 0.1,
        "views": {
            "date_subset": 0.0,
            "crop_min": 0.8,
            "symmetry": "flips",
            "blur": (0.5, 0.5),
            "speckle": 0.0,
            "db_offset": 0.0,
            "polarisation_drop": 0.0,
        },
    },
}
"""How each preset differs from the defaults below, which are those of ``sar``."""

WITHOUT_NEGATIVES = ("vicreg", "barlow_twins")
"""Losses to which a temperature and a distance between negatives do not apply: given all the same, they are refused."""


class TrainSettings(BaseModel):
    """Settings of a training run. Fields that are not given are those of the preset.

    The preset ``original`` is the program that sarpipe starts from, with its defects mended: it had no
    augmentation, no projection head, unstandardised channels, and the positive among the negatives.
    AdamW without weight decay, as there, is Adam.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["sar", "original"] = Field("sar", description="Where fields that are not given come from")
    seed: int = Field(0, ge=0, lt=2**31, description="Of the weights, the order and the views")
    epochs: int = Field(200, ge=1, le=100_000, description="Passes over the places")
    batch_size: int | None = Field(
        None, ge=2, le=65_536, description="Places a step; none: 1024 on a GPU, 64 on a CPU; never more than there are"
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Largest learning rate, of AdamW")
    weight_decay: float = Field(0.05, ge=0, le=1, description="AdamW's, on matrices and kernels only")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="The learning rate after the warm-up")
    warmup_epochs: int = Field(
        10, ge=0, le=1000, description="Epochs of linear warm-up, but at most a fifth of the run"
    )
    gradient_clip: float = Field(1.0, ge=0, le=1000, description="Largest norm of the gradient; 0: any")
    ema: float = Field(
        0.996, ge=0, lt=1, description="Decay of the running mean of the weights, which is what is kept; 0: off"
    )
    loss: Literal["dcl", "nt_xent", "vicreg", "barlow_twins"] = Field(
        "dcl", description="Decoupled contrastive loss, SimCLR's own, or one that knows no negatives"
    )
    temperature: float | None = Field(
        None,
        ge=0.01,
        le=10,
        description="Of dcl and nt_xent alone; none: 0.1 for batches of 256 and more, else 0.2",
    )
    neighbour_km: float = Field(
        5.0,
        ge=0,
        le=20_000,
        description="Places closer than this are no negatives of each other, km; 0: all are, or the loss knows none",
    )
    readout: Literal["tokens", "tokens_and_stages"] = Field(
        "tokens_and_stages",
        description="What the embedding is: a linear layer of the mean token, or that token beside moments of 3 stages",
    )
    positions: bool = Field(True, description="Whether the transformer's tokens know where they are")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout within the transformer")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Of convolutions and matrix products; auto: bf16 on a GPU, fp32 on a CPU; loss in fp32"
    )
    deterministic: bool = Field(
        False, description="On a GPU, the same bits each time, at some cost of speed; on a CPU they always are"
    )
    views: ViewSettings = Field(ViewSettings.model_validate({}), description="The augmentations")

    @classmethod
    def of_preset(cls, name: str, **overrides: Any) -> TrainSettings:
        """The settings of a preset, with some fields set otherwise; ``views`` may be a part of its fields.

        Raises:
            pydantic.ValidationError: There is no such preset or field, or a value is out of range.
        """
        return cls.model_validate({**overrides, "preset": name})

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = PRESETS.get(str(given.get("preset", "sar")), {})
        views = given.get("views", {})
        if isinstance(views, ViewSettings):
            views = views.model_dump()
        if not isinstance(views, dict):
            return given
        if given.get("loss", preset.get("loss")) in WITHOUT_NEGATIVES:
            preset = {**preset, "temperature": None, "neighbour_km": 0.0}
        return {**preset, **given, "views": {**preset.get("views", {}), **views}}

    @field_validator("temperature", "neighbour_km")
    @classmethod
    def _applies(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value and info.data.get("loss") in WITHOUT_NEGATIVES:
            raise ValueError(f"the loss {info.data['loss']} has no negatives: leave {info.field_name} out")
        return value
