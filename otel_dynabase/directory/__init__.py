"""Which plan and tier a project has: from a file, a SQL query or your own function; cached, never blocking a query."""

from otel_dynabase.directory.configured import directory_of, source_of
from otel_dynabase.directory.file import FileSource
from otel_dynabase.directory.lookup import Directory, Stats
from otel_dynabase.directory.source import Source, UnusableError, Versioned
from otel_dynabase.directory.sql import SqlSource
from otel_dynabase.directory.tenant import NOBODY, Tenant, valid_project_id

__all__ = [
    "NOBODY",
    "Directory",
    "FileSource",
    "Source",
    "SqlSource",
    "Stats",
    "Tenant",
    "UnusableError",
    "Versioned",
    "directory_of",
    "source_of",
    "valid_project_id",
]
