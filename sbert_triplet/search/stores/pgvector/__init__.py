"""PostgreSQL with pgvector: a table of ours, or columns of an application's own table."""
