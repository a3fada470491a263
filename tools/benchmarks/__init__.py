"""The workloads of `tools/bench.py`.

`measuring`   rounds of alternating runs, results, the table
`stores`      the synthetic stores that workloads share
`child`       what a process of its own does, so that its peak memory is its own
`daemon_tasks`, `sql_recording`   the longer ones of its tasks
`appending`   append_process, append_disk, append_8_processes
`recording`   hook
`projecting`  rebuild_1m, size, catch_up_100
`asking`      cli
`verifying`   verify
`following`   visible, idle
`importing`   import_transcripts
"""
