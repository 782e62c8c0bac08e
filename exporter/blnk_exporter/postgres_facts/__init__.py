"""What is asked of PostgreSQL: one Table per fact, data only.

Source: PostgreSQL documentation, chapters 28 (monitoring), 54 (system views); versions 15 to 18.
"""
