"""S3: objects, multipart uploads, downloads, part objects with a manifest, the export bucket."""
