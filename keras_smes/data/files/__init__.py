"""Files of a log: reading, typing of text, and a first look at what they hold."""
