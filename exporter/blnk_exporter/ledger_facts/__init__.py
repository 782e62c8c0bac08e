"""What is asked of Blnk's tables, and what is remembered of their rows between two readings; no I/O."""

NO_TABLES = "there is no table of Blnk in schema blnk; is this Blnk's database, and is it migrated?"
