"""What is measured: attributes, metrics, events, plans. Pure data; nothing here imports anything but the stdlib."""
