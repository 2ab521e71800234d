"""The schema of the section ``data`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from captioner.common.paths import watched_path
from captioner.common.schema import PositiveInt, Section, Seed


def is_weights_file(weights: str | None) -> bool:
    """Return whether a value of ``data.extractor.weights`` is the path of a file."""
    return weights not in (None, "imagenet", "builtin")


class ExtractorConfig(Section):
    """The frozen CNN that turns images into features."""

    name: str
    weights: str | None
    batch_size: PositiveInt
    watch: str


class DataConfig(Section):
    """The dataset of images and captions, and the CNN."""

    name: Literal["shapes", "coco", "karpathy"]
    data_dir: str | None
    path: str | None
    seed: Seed
    limit: Annotated[int, Field(ge=1)] | None
    on_bad_image: Literal["error", "skip"] = "error"  # the default lets records of runs without this key be read
    watch: str
    extractor: ExtractorConfig

    @model_validator(mode="after")
    def _check_combinations(self) -> DataConfig:
        if self.name == "karpathy" and self.path is None:
            raise ValueError("data.path is missing: give your folder with -S data.path=FOLDER")
        if self.name != "karpathy" and self.path is not None:
            raise ValueError(f"data.path is only for data=karpathy, and data is {self.name}")
        if self.on_bad_image == "skip" and self.name != "karpathy":
            raise ValueError(f"data.on_bad_image=skip is only for data=karpathy, and data is {self.name}")
        weights = self.extractor.weights
        for key, value, watch in (
            ("data.path", self.path, self.watch),
            ("data.extractor.weights", weights if is_weights_file(weights) else None, self.extractor.watch),
        ):
            if value is not None and watched_path(value) != watch:
                raise ValueError(
                    f"{key} is {value}, but DVC watches {watch}: set {key} with `dvc exp run -S`, "
                    "or write its absolute path in both keys"
                )
        if (weights == "builtin") != (self.extractor.name == "shapes_cnn") and weights in ("builtin", "imagenet"):
            raise ValueError(
                f"data.extractor.weights is {weights}, which does not exist for {self.extractor.name}; "
                "allowed: builtin (for shapes_cnn), imagenet (for keras.applications), a file, null"
            )
        return self
