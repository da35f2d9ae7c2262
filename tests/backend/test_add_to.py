"""Workers that don't wait for each other add to the same variable."""

import threading

import keras
import pytest

from keras_smes.backend.replicas import add_to

WORKERS, STEPS = 4, 2000


@pytest.mark.tensorflow
def test_nothing_that_is_added_at_the_same_time_is_lost():
    import tensorflow as tf

    variables = [keras.Variable(0, dtype=dtype, trainable=False) for dtype in ("int64", "float32")]

    @tf.function
    def step():
        for variable in variables:
            add_to(variable, 1)

    step()
    threads = [threading.Thread(target=lambda: [step() for _ in range(STEPS)]) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [float(variable.numpy()) for variable in variables] == [WORKERS * STEPS + 1] * 2
