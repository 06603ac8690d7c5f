"""What happened, out of the stored events: in words for people, in the ticket's shape for programs."""
