//! What times are read from.

/// A clock that every contender has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Time that passes.
    Wall,
    /// The process's own time on CPUs: what other load takes does not count. Reading it costs about 0.3 µs.
    Cpu,
}

impl Clock {
    /// As the protocol of python/worker.py calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "cpu",
        }
    }

    /// The clock with this name.
    #[allow(dead_code, reason = "for the worker of benches/tract, which has this file, too")]
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        [Self::Wall, Self::Cpu].into_iter().find(|clock| clock.name() == name)
    }

    /// Nanoseconds since some moment.
    #[allow(unsafe_code, reason = "asks the system for the time")]
    pub(crate) fn now(self) -> u64 {
        let id = match self {
            Self::Wall => libc::CLOCK_MONOTONIC,
            Self::Cpu => libc::CLOCK_PROCESS_CPUTIME_ID,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes a timespec to the address of one. POSIX has both clocks, so that it does not fail.
        unsafe { libc::clock_gettime(id, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}
