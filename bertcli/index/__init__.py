"""A folder of documents that can be searched by meaning: vectors, texts, and what made them.

    index_folder/
      manifest.json       format, model, chunking, and which generation of the two files counts
      documents-1.sqlite  documents, chunks, full-text table, number of committed vector rows
      vectors-1.f32       one row of little-endian float32 per chunk, appended
      ann-1-N.faiss       approximate search, above a size; can be made anew from the vectors
      ann-1.json          names that file, and says how far to look in it
      write.lock          held by the one writer

The package takes vectors and knows no model. Start at `folder.py`, which writes, and `reader.py`.
"""
