-- One row: one thing in the database that is not ours, as its kind and name; $1 names our tables.
SELECT 'table ' || schema_name || '.' || table_name AS object
FROM duckdb_tables()
WHERE database_name = current_database() AND NOT temporary AND NOT internal
    AND NOT (schema_name = 'main' AND list_contains($1, table_name))
UNION ALL
SELECT 'view ' || schema_name || '.' || view_name
FROM duckdb_views()
WHERE database_name = current_database() AND NOT temporary AND NOT internal
UNION ALL
SELECT 'sequence ' || schema_name || '.' || sequence_name
FROM duckdb_sequences()
WHERE database_name = current_database() AND NOT temporary
UNION ALL
SELECT 'macro ' || schema_name || '.' || function_name
FROM duckdb_functions()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT 'type ' || schema_name || '.' || type_name
FROM duckdb_types()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT 'schema ' || schema_name
FROM duckdb_schemas()
WHERE database_name = current_database() AND NOT internal AND schema_name <> 'main'
ORDER BY object
