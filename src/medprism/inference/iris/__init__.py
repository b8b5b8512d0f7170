"""iris: volumes segmented by task embeddings, and embeddings as files [Iris, Sec. 3]."""
