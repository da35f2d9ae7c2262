import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf
from tensorflow.core.framework.kernel_def_pb2 import KernelList
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_smes.export import audit
from keras_smes.export.audit import serving_ops

pytestmark = pytest.mark.tensorflow

# Asks the C++ library itself which operations it has kernels for.
KERNELS = """
    import ctypes, pathlib, sys
    class Buffer(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]
    folder = pathlib.Path(sys.argv[1])
    libraries = [next(folder.glob(f"libtensorflow_{part}*")) for part in ("framework", "cc")]
    api = [ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for path in libraries][1]
    api.TF_NewStatus.restype = ctypes.c_void_p
    api.TF_GetAllRegisteredKernels.restype = ctypes.POINTER(Buffer)
    kernels = api.TF_GetAllRegisteredKernels(ctypes.c_void_p(api.TF_NewStatus())).contents
    pathlib.Path(sys.argv[2]).write_bytes(ctypes.string_at(kernels.data, kernels.length))
"""


def save(folder, function):
    module = tf.Module()
    module.serve = tf.function(function, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(folder), signatures=module.serve)


def test_a_plain_graph_passes(tmp_path):
    save(tmp_path / "1", lambda x: {"y": tf.nn.softmax(x) + tf.sort(x)})
    audit(tmp_path / "1")


def test_python_is_refused(tmp_path):
    save(tmp_path / "1", lambda x: {"y": tf.py_function(lambda y: y + 1, [x], tf.float32)})
    with pytest.raises(ValueError, match="EagerPyFunc"):
        audit(tmp_path / "1")


def test_what_xla_compiles_is_refused_unless_asked_for(tmp_path):
    compiled = tf.function(lambda x: x * 2.0 + 1.0, jit_compile=True)
    save(tmp_path / "1", lambda x: {"y": compiled(x)})
    with pytest.raises(ValueError, match="compiled by XLA"):
        audit(tmp_path / "1")
    audit(tmp_path / "1", xla=True)


@pytest.mark.parametrize("op", ["XlaCallModule", "RegexSplitWithOffsets>Text", "OfNextYear"])
def test_foreign_operations_are_refused(tmp_path, op):
    save(tmp_path / "1", lambda x: {"y": tf.sin(x)})
    path = tmp_path / "1" / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    nodes = [node for f in saved.meta_graphs[0].graph_def.library.function for node in f.node_def]
    next(node for node in nodes if node.op == "Sin").op = op
    path.write_bytes(saved.SerializeToString())
    for xla in (False, True):
        with pytest.raises(ValueError, match=op):
            audit(tmp_path / "1", xla)


def test_the_list_is_that_of_the_runtime_of_tensorflow_serving(serving_runtime, tmp_path):
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(KERNELS),
        str(serving_runtime),
        str(tmp_path / "kernels"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    kernels = KernelList.FromString((tmp_path / "kernels").read_bytes()).kernel
    there = {kernel.op for kernel in kernels if kernel.device_type in ("CPU", "DEFAULT")}
    assert serving_ops() == {op for op in there if not op.startswith(("Xla", "_Xla"))}
    compiled = {op for op in there if op.startswith("Xla")} - {"XlaCallModule"}
    assert "XlaDynamicUpdateSlice" in compiled
    assert serving_ops(xla=True) == serving_ops() | compiled
