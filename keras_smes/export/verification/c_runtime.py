"""Runs a SavedModel in the C++ runtime alone: a script for a fresh process.

It uses NumPy, ctypes and the libraries of any TensorFlow version, but no Python of TensorFlow, Keras or
keras_smes. TensorFlow Serving has the same loader and session.

```
python -I c_runtime.py LIBRARIES < request > result
```

The request is a pickle of `model` (folder), `runs` (a list of feeds by tensor name, and fetches) and
`disable_xla`. The result is a pickle of `version` and `outputs`, a list of arrays per run. Pipes leave no
files behind if a process is killed.
"""

import ctypes
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

STRING = 7
DTYPES = {1: "float32", 3: "int32", 9: "int64", 10: "bool"}
STRING_BYTES = 24  # the size of a TF_TString, fixed by the ABI
DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"
POINTERS = (
    "TF_NewStatus",
    "TF_NewGraph",
    "TF_NewSessionOptions",
    "TF_LoadSessionFromSavedModel",
    "TF_GraphOperationByName",
    "TF_AllocateTensor",
    "TF_TensorData",
    "TF_StringGetDataPointer",
)


class Output(ctypes.Structure):
    """One output of an operation, TF_Output."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Runtime:
    """The C API of the TensorFlow libraries in a folder."""

    def __init__(self, folder: Path) -> None:
        libraries = [
            next(iter(sorted(folder.glob(f"libtensorflow_{part}*")))) for part in ("framework", "cc")
        ]
        ctypes.CDLL(str(libraries[0]), mode=ctypes.RTLD_GLOBAL)
        self.api = ctypes.CDLL(str(libraries[1]), mode=ctypes.RTLD_GLOBAL)
        for name in POINTERS:
            getattr(self.api, name).restype = ctypes.c_void_p
        for name in ("TF_Version", "TF_Message"):
            getattr(self.api, name).restype = ctypes.c_char_p
        for name in ("TF_Dim", "TF_TensorByteSize", "TF_StringGetSize"):
            getattr(self.api, name).restype = ctypes.c_int64
        self.status = self.pointer("TF_NewStatus")

    @property
    def version(self) -> str:
        return str(self.api.TF_Version().decode())

    def pointer(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Calls a function that returns a pointer."""
        return ctypes.c_void_p(getattr(self.api, name)(*arguments))

    def check(self) -> None:
        """Raises the error of the last call, if any."""
        if self.api.TF_GetCode(self.status) != 0:
            raise RuntimeError(self.api.TF_Message(self.status).decode(errors="replace"))

    def load(self, model: str) -> "Session":
        """Loads the graph tagged `serve`, as TensorFlow Serving does."""
        graph, options = self.pointer("TF_NewGraph"), self.pointer("TF_NewSessionOptions")
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.pointer(
            "TF_LoadSessionFromSavedModel", options, None, model.encode(), tags, 1, graph, None, self.status
        )
        self.check()
        return Session(self, graph, session)

    def tensor(self, array: Any) -> ctypes.c_void_p:
        """Copies an array into a TF_Tensor."""
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        if array.dtype == object:
            size = ctypes.c_size_t(array.size * STRING_BYTES)
            tensor = self.pointer("TF_AllocateTensor", STRING, dims, array.ndim, size)
            data = self.api.TF_TensorData(tensor)
            for index, text in enumerate(array.ravel()):
                string = ctypes.c_void_p(data + index * STRING_BYTES)
                self.api.TF_StringInit(string)
                self.api.TF_StringCopy(string, bytes(text), ctypes.c_size_t(len(text)))
            return tensor
        kind = next(number for number, name in DTYPES.items() if array.dtype == name)
        tensor = self.pointer("TF_AllocateTensor", kind, dims, array.ndim, ctypes.c_size_t(array.nbytes))
        ctypes.memmove(self.api.TF_TensorData(tensor), np.ascontiguousarray(array).tobytes(), array.nbytes)
        return tensor

    def array(self, tensor: ctypes.c_void_p) -> Any:
        """Copies a TF_Tensor into an array."""
        shape = [self.api.TF_Dim(tensor, axis) for axis in range(self.api.TF_NumDims(tensor))]
        kind, data = self.api.TF_TensorType(tensor), self.api.TF_TensorData(tensor)
        if kind != STRING:
            content = ctypes.string_at(data, self.api.TF_TensorByteSize(tensor))
            return np.frombuffer(content, DTYPES[kind]).reshape(shape)
        strings = np.empty(int(np.prod(shape)), object)
        for index in range(strings.size):
            string = ctypes.c_void_p(data + index * STRING_BYTES)
            start = self.api.TF_StringGetDataPointer(string)
            strings[index] = ctypes.string_at(start, self.api.TF_StringGetSize(string))
        return strings.reshape(shape)


class Session:
    """A loaded SavedModel."""

    def __init__(self, runtime: Runtime, graph: ctypes.c_void_p, session: ctypes.c_void_p) -> None:
        self.runtime, self.graph, self.session = runtime, graph, session

    def run(self, feeds: dict[str, Any], fetches: list[str]) -> list[Any]:
        """Feeds tensors by name and returns others in the given order."""
        api, status = self.runtime.api, self.runtime.status
        fed = [self.runtime.tensor(array) for array in feeds.values()]
        results = (ctypes.c_void_p * len(fetches))()
        api.TF_SessionRun(
            self.session, None,
            self.outputs(list(feeds)), (ctypes.c_void_p * len(fed))(*[t.value for t in fed]), len(fed),
            self.outputs(fetches), results, len(fetches),
            None, 0, None, status,
        )  # fmt: skip
        for tensor in fed:
            api.TF_DeleteTensor(tensor)
        self.runtime.check()
        tensors = [ctypes.c_void_p(result) for result in results]
        arrays = [self.runtime.array(tensor) for tensor in tensors]
        for tensor in tensors:
            api.TF_DeleteTensor(tensor)
        return arrays

    def outputs(self, names: list[str]) -> Any:
        """Looks tensors up in the graph."""
        found = (Output * len(names))()
        for slot, name in zip(found, names, strict=True):
            operation, _, index = name.partition(":")
            slot.operation = self.runtime.api.TF_GraphOperationByName(self.graph, operation.encode())
            slot.index = int(index or 0)
            if not slot.operation:
                raise RuntimeError(f"The graph has no tensor {name}")
        return found


def main(libraries: str) -> None:
    """Runs the request on standard input and writes the result to standard output."""
    request = pickle.load(sys.stdin.buffer)
    runtime = Runtime(Path(libraries))
    if request["disable_xla"]:
        getattr(runtime.api, DISABLE_XLA)()
    session = runtime.load(request["model"])
    outputs = [session.run(feeds, fetches) for feeds, fetches in request["runs"]]
    foreign = sorted({"tensorflow", "keras", "keras_smes", "jax"} & set(sys.modules))
    if foreign:
        raise RuntimeError(f"This process must not import {foreign}")
    sys.stdout.buffer.write(pickle.dumps({"version": runtime.version, "outputs": outputs}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
