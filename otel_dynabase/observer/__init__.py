"""`otel-dynabase observe`: one process for each platform, for what every application process would count again."""
