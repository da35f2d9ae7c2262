"""Raw values to typed arrays: columns, lists, data frames."""
