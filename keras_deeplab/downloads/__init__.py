"""Files from the internet: fetch by hash, HTTP transfer with resume, the cache folder."""
