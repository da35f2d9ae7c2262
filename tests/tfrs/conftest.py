"""These tests have a process of their own (`make test-tfrs`): `tf.keras` is Keras 2 in it."""

import pytest
from support.backends import LEGACY_KERAS

collect_ignore_glob = [] if LEGACY_KERAS else ["test_*.py"]

if LEGACY_KERAS:
    pytest.importorskip("tensorflow_recommenders", reason='needs pip install -e ".[tfrs]"')
    import tensorflow as tf

    # Two replicas' worth, before TensorFlow starts.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


@pytest.fixture(autouse=True)
def _fresh_names():
    """Both Keras number their layers; a new model's begin again."""
    import keras
    import tensorflow as tf

    keras.backend.clear_session()
    tf.keras.backend.clear_session()
