"""What is asked of Blnk's tables, and what is remembered of their rows between two readings; no I/O."""
