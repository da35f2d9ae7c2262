"""Serving: an embedded server of TensorFlow Serving's contract, and a client for both.

Nothing is imported here. Take what is needed from `keras_smes.serving.server` and
`keras_smes.serving.client`; both want the extra `serving`
(`pip install "keras_smes[serving]"`).
"""
