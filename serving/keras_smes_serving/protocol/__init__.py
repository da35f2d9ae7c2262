"""Messages, tensors, dtypes and errors of client and server."""
