"""The names of the tags on runs in MLflow. Recorded runs carry them, so the names must not change."""

RUN_HASH = "captioner.run_hash"
PARENT_HASH = "captioner.of_run"  # on a child run: the run hash of its parent
PARENT_RUN = "mlflow.parentRunId"
WEIGHTS = "hash.train.weights"  # the weights hash; with the run hash, it identifies a row
SCORED = "hash.evaluate.metrics"  # the tag that is set last: the row has all scores
EVALUATION_SET = "captioner.evaluation_set"  # the hash of the images and references that were scored
DATASET = "captioner.dataset"  # the dataset's own name
DECODING = "captioner.decoding"  # the hash of the section ``decode`` of params.yaml
COMMIT = "mlflow.source.git.commit"
PATCH = "captioner.patch"  # the hash of patch.diff; missing if nothing was uncommitted
DIRTY = "captioner.dirty"
REPRODUCE = "captioner.reproduce"  # the command that rebuilds the run
ENVIRONMENT = "captioner.environment"
DEVICE = "captioner.device"
TRAIN_SECONDS = "captioner.train_seconds"  # missing if the training was resumed or logged afterwards
OUTPUT_HASH_PREFIX = "hash."  # followed by the name of an output
