"""What a tenant costs at each hop, measured on the whole chain: the figures of docs/capacity.md."""
