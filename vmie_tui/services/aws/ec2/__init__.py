"""EC2: images, instances, volumes, instance types, and what our tags tell of them."""
