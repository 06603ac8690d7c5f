"""`otel-dynabase doctor`: each hop from the application to both stores is tried, and what is wrong is said."""
