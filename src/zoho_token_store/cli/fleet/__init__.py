"""What a whole fleet is doing: what can be known of it from its store."""
