"""What a server in Python costs before it does anything with a request: a part of `serving.py`.

    python benchmarks/echo.py MODEL_FOLDER

takes requests as bytes, which it doesn't read, asks the model for columns of its own, and sends an answer
that it has ready. What it takes longer than the model alone is gRPC and the system: threads that wake
one another, and caches that the model has emptied.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from keras_smes_serving.protocol import messages
from keras_smes_serving.protocol.tensors import encode_fields
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session
from serving import CANDIDATES, example_columns


def main(folder):
    servable, columns = Servable(Session(folder)), example_columns(CANDIDATES)
    response = messages.PredictResponse()
    for name, scores in servable.predict("", columns).items():
        encode_fields(scores, response.outputs[name])
    answer = response.SerializeToString()

    def predict(request, context):
        servable.predict("", columns)
        return answer

    methods = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    server = grpc.server(ThreadPoolExecutor(8))
    service = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"gRPC echo at 127.0.0.1:{port} ...", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
