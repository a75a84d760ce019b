"""AWS by boto3: sessions and sign-in, errors in words, Regions; one folder for each API."""
