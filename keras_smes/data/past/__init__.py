"""What was known before the day of a row: statistics, histories, and the engines that count them."""
