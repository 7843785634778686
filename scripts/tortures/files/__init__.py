"""Files that anyone may have made."""
