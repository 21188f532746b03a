"""Where bytes lie: camera originals, masks. One file for each kind of place, all `qc.ports.BlobStore`."""
