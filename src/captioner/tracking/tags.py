"""The names of the tags on runs in MLflow. Recorded runs carry them, so the names must not change."""

RUN_HASH_TAG = "captioner.run_hash"
PARENT_HASH_TAG = "captioner.of_run"  # on a child run: the run hash of its parent
PARENT_RUN_TAG = "mlflow.parentRunId"
WEIGHTS_TAG = "hash.train.weights"  # the weights hash; with the run hash, it identifies a row
SCORED_TAG = "hash.evaluate.metrics"  # the tag that is set last: the row has all scores
EVALUATION_SET_TAG = "captioner.evaluation_set"  # the hash of the images and references that were scored
DATASET_TAG = "captioner.dataset"  # the dataset's own name
DECODING_TAG = "captioner.decoding"  # the hash of the section ``decode`` of params.yaml
COMMIT_TAG = "mlflow.source.git.commit"
PATCH_TAG = "captioner.patch"  # the hash of patch.diff; missing if nothing was uncommitted
DIRTY_TAG = "captioner.dirty"
REPRODUCE_TAG = "captioner.reproduce"  # the command that rebuilds the run
ENVIRONMENT_TAG = "captioner.environment"
DEVICE_TAG = "captioner.device"
TRAIN_SECONDS_TAG = "captioner.train_seconds"  # missing if the training was resumed or logged afterwards
OUTPUT_HASH_PREFIX = "hash."  # followed by the name of an output
