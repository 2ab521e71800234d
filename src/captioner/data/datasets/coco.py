"""The TFDS dataset ``coco_captions`` and its features, which the other datasets share."""

from __future__ import annotations

import numpy as np
import tensorflow_datasets as tfds

from captioner.common.errors import UserError, first_line


def unshuffled_dataset_info(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetInfo:
    """Return the info of a dataset that has COCO's features and keeps the order in which examples are generated."""
    object_features = {
        "id": np.int64,
        "area": np.int64,
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(num_classes=80),
        "is_crowd": np.bool_,
    }
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "image/filename": tfds.features.Text(),
        "image/id": np.int64,
        "objects": tfds.features.Sequence(object_features),
        "captions": tfds.features.Sequence({"text": np.str_, "id": np.int64}),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=type(builder).__doc__,
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
        metadata=tfds.core.MetadataDict(),
    )


def load_coco(data_dir: str) -> tfds.core.DatasetBuilder:
    """Return the builder of ``coco_captions``; download the dataset if ``data_dir`` does not hold it.

    Raises:
        UserError: the download fails.
    """
    builder = tfds.builder("coco_captions", data_dir=data_dir)
    if not builder.is_prepared():
        try:
            builder.download_and_prepare()
        except Exception as error:  # a download fails with many types, from several libraries
            raise UserError(
                f"coco_captions is not in {data_dir} and could not be downloaded ({first_line(error)}): "
                "set data.data_dir to a TFDS folder that holds it"
            ) from None
    return builder
