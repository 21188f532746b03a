"""What the product tells other systems by itself: signed webhooks and MQTT, from one durable outbox."""
