"""Models and reference rules that the tests of optimizers share."""
