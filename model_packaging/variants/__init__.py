"""Which of two live variants is better, from captured traffic and the labels that arrived."""
