"""A client of TensorFlow Serving without TensorFlow, and an embedded server with its API.

Import from `keras_smes_serving.client`, or from `keras_smes_serving.server.embedded`, which needs the extra
`server` (`pip install "keras_smes_serving[server]"`).
"""

__version__ = "0.2.0"
