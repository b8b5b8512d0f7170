"""tpseg: unified lesion segmentation by task adapters and task prototypes [TPSeg]."""
