//! What the system knows of a process.

use std::{fs, time::Duration};

/// CPU time that all threads of a process had so far, in nanoseconds, as the scheduler counts it.
pub(crate) fn cpu(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let ns = threads.filter_map(|thread| {
        // A thread may end meanwhile.
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(ns.sum())
}

/// The part of it that was not the kernel's; in hundredths of a second, as the system counts it.
pub(crate) fn user(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // Behind the name, which may hold anything, the state is the first field and this the twelfth.
    let (_, fields) = stat.rsplit_once(')').expect("there is a name");
    let hundredths = fields.split_whitespace().nth(11).expect("there are fifty fields");
    Duration::from_millis(hundredths.parse::<u64>().expect("a number") * 10)
}

/// Memory that a process has resident.
pub(crate) fn memory_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib = line.trim().trim_end_matches("kB").trim();
    kib.parse::<u64>().expect("a number of kB") * 1_024
}
