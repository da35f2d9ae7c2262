"""Statistics and histories as of the day before a row, and the engines that compute them."""
