//! What a far line costs at least: lines at random places of a memory that no cache holds, none waiting for another.

use crate::clock::Clock;
use testkit::networks::Random;

/// Bytes of the memory, and of a line.
const MEMORY: usize = 1 << 30;
const LINE: usize = 64;

pub(crate) struct Lines {
    memory: Vec<u64>,
    random: Random,
}

impl Lines {
    #[allow(unsafe_code, reason = "asks the system for large pages")]
    pub(crate) fn new() -> Self {
        let mut memory: Vec<u64> = Vec::with_capacity(MEMORY / size_of::<u64>());
        #[cfg(target_os = "linux")]
        {
            let page = 1 << 21;
            let first = (memory.as_mut_ptr() as usize).next_multiple_of(page);
            // SAFETY: advice about pages that lie in the allocation, which begins up to one page earlier; it may fail.
            unsafe { libc::madvise(first as *mut libc::c_void, MEMORY - page, libc::MADV_HUGEPAGE) };
        }
        memory.resize(MEMORY / size_of::<u64>(), 1);
        Self { memory, random: Random(5) }
    }

    /// Nanoseconds per line, for each number of lines.
    pub(crate) fn measure(&mut self, lines: usize, clock: Clock) -> f64 {
        let (line, mask) = (LINE / size_of::<u64>(), MEMORY / LINE - 1);
        let seed = self.random.next_u64();
        let begin = clock.now();
        let (mut place, mut sum) = (seed, 0);
        for _ in 0..lines {
            // Steps of a generator that do not wait for memory.
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += self.memory[((place >> 33) as usize & mask) * line];
        }
        std::hint::black_box(sum);
        (clock.now() - begin) as f64 / lines as f64
    }
}
