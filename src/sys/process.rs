//! What this process takes from its host.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time that all threads of this process were running.
pub fn cpu_time() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// The monotonic clock of the system, by which other processes count as well.
pub fn monotonic() -> Duration {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0))
}

/// Bytes of memory: those in RAM and those that are mapped. Zero where the system does not tell.
pub fn memory_bytes() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    (kilobytes(&status, "VmRSS:"), kilobytes(&status, "VmSize:"))
}

/// Bytes of memory that this process may use: those of the host, or fewer when its control group is bounded. All there
/// could be where the system does not tell.
pub fn memory_total() -> u64 {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let host =
        match kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:") {
            0 => u64::MAX,
            bytes => bytes,
        };
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    groups.into_iter().filter_map(number).fold(host, u64::min)
}

/// `VmRSS:   1234 kB`, in bytes.
pub(super) fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()).map(str::parse::<u64>);
    number.and_then(Result::ok).unwrap_or(0) * 1024
}

/// Files, sockets and the like that are open now.
pub fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_something() {
        let (resident, mapped) = memory_bytes();
        assert!(memory_total() >= resident);
        assert!(resident > 1 << 20 && mapped >= resident, "{resident} {mapped}");
        assert!(open_files() > 2);
        let before = cpu_time();
        let work = (0..2_000_000_u64).fold(1_u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        assert!(work != 0 && cpu_time() > before);
    }
}
