"""Downloads: fetch by hash, HTTP transfer with resume, cache folder."""
