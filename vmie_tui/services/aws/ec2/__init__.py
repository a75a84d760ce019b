"""EC2: images, instances, volumes, instance types, and resources found by our tags."""
