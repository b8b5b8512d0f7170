"""iris: universal segmentation from references, in 2-D and 3-D [Iris]."""
