//! What the kernel says of a process: memory and processor time, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Failure;

/// What is promised: the most that a process has resident, in bytes.
pub(crate) const LIMIT_BYTES: u64 = 100_000_000;
/// Between two looks at a process.
const EVERY: Duration = Duration::from_millis(10);
/// The unit of processor times in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux.
const TICKS_PER_SECOND: u32 = 100;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Default, Serialize, Debug)]
pub(crate) struct Memory {
    /// The most that was ever resident since the last reset, by the kernel's own count.
    pub(crate) peak: u64,
    /// The most anonymous memory that was seen: heap and stacks.
    pub(crate) anonymous: u64,
    /// The most of mapped files that was seen: the program itself.
    pub(crate) file: u64,
}

/// Looks at a process until it is told to stop.
pub(crate) struct Sampler {
    stop: CancellationToken,
    task: JoinHandle<Memory>,
}

impl Sampler {
    /// Begins, with the kernel's peak set back to what is resident now.
    pub(crate) fn start(pid: u32) -> Result<Self, Failure> {
        // 5 resets VmHWM (proc(5), clear_refs).
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut most = Memory::default();
            loop {
                let now = memory(pid).unwrap_or_default();
                most.peak = most.peak.max(now.peak);
                most.anonymous = most.anonymous.max(now.anonymous);
                most.file = most.file.max(now.file);
                tokio::select! {
                    () = stopped.cancelled() => return most,
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        });
        Ok(Self { stop, task })
    }

    /// Ends; the most of everything.
    pub(crate) async fn stop(self) -> Result<Memory, Failure> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

/// The memory of a process now.
fn memory(pid: u32) -> Option<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let bytes = |name: &str| fields.get(name)?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|k| k << 10);
    Some(Memory { peak: bytes("VmHWM")?, anonymous: bytes("RssAnon")?, file: bytes("RssFile")? })
}

/// Processor time that a process has taken so far, of all its threads.
pub(crate) fn processor_time(pid: u32) -> Result<Duration, Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything; what follows it is numbers.
    let (_, numbers) = text.rsplit_once(')').ok_or("/proc/PID/stat has another form")?;
    let fields: Vec<&str> = numbers.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u32, Failure> { Ok(fields.get(at).ok_or("too few fields")?.parse()?) };
    Ok(Duration::from_secs(1) * (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The load of the machine over the last minute, so that a reader knows what else ran.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}
