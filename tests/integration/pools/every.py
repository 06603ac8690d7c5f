"""Every pool that there is a driver for: a new library's go into this list."""

from tests.integration.pools import of_asyncpg, of_psycopg, of_sqlalchemy

DRIVERS = (
    *of_asyncpg.DRIVERS,
    *of_psycopg.DRIVERS,
    *of_sqlalchemy.DRIVERS,
)
