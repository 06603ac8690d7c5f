"""OpenTelemetry for multi-tenant PostgreSQL.

Most users need nothing from here: `opentelemetry-instrument python app.py` finds the instrumentor by itself.

    from otel_dynabase import tenant

    async with tenant("proj_abc123"):
        rows = await pool.fetch("select …")
"""

from otel_dynabase.adapters import bind_tenant
from otel_dynabase.instrumentor import DynabaseInstrumentor
from otel_dynabase.tenant import TenantMiddleware, current_project, tenant
from otel_dynabase.version import __version__

__all__ = ["DynabaseInstrumentor", "TenantMiddleware", "__version__", "bind_tenant", "current_project", "tenant"]
