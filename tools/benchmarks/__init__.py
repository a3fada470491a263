"""The workloads of `tools/bench.py`.

`measuring`   rounds of alternating runs, results, the table
`child`       what a process of its own does, so that its peak memory is its own
`appending`   append_process, append_disk
`projecting`  rebuild, memory, catch_up_100
`importing`   import_transcripts
"""
