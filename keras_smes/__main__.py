"""`python -m keras_smes` is `keras-smes`."""

import sys

from keras_smes.cli import main

sys.exit(main())
