"""What client and server share: messages, tensors on the wire, dtypes and errors."""
