"""Files of the user and data sets of the hub, read as rows."""
