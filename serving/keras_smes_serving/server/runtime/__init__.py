"""SavedModels in TensorFlow's C++ runtime."""
