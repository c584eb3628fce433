//! Closing an engine.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Engine, Published};
use crate::error::{Error, Result, Status};

/// How long closing waits for running requests, which take milliseconds.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// How long closing waits for the log's last records, whose disk may hang.
const LAST_RECORDS: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops following and withdraws the generation: from now on scorers answer `Closed`. Running requests finish
    /// normally: closing waits for them, for a second at most, then frees memory and maps. (What a request holds for
    /// longer is freed with its scorer.) It also waits for the following thread: a bundle that is being staged is
    /// abandoned at the next golden request, table, 16,384 rows or 16 MiB, which takes well under a second unless the
    /// file system hangs. Then the log's last records are written and
    /// synced, for ten seconds at most. Closing twice has no further effect.
    pub fn close(&self) {
        // Without a bound, only requests that take longer than any should can be left.
        let _ = self.close_by(None);
    }

    /// The same, within `most`. Scorers answer `Closed` from the first moment on.
    ///
    /// # Errors
    /// `Busy` when work continues after that time, naming it: the following thread in the middle of a bundle, or
    /// running requests. The engine is closed all the same; the work ends by itself, and memory and maps are freed with
    /// it. Closing again waits for it again. `Io` when the last records of the log could not be written.
    pub fn close_within(&self, most: Duration) -> Result<()> {
        self.close_by(Instant::now().checked_add(most))
    }

    fn close_by(&self, end: Option<Instant>) -> Result<()> {
        self.shared.closing.store(true, Ordering::Relaxed);
        {
            let mut published = self.shared.published();
            *published = Published { closed: true, ..Published::default() };
            self.shared.swap_cell.publish(None);
        }
        let follower = self.follower().take();
        if let Some(Err(looking)) = follower.map(|follower| follower.stop_by(end)) {
            // For a later call of close that has more time.
            *self.follower() = Some(looking);
            return Err(Error::new(Status::Busy, "closed, but the following thread is still opening a bundle"));
        }
        let requests = self.wait_for_requests(end);
        let last = Instant::now() + LAST_RECORDS;
        self.shared.log.close(end.unwrap_or(last))?;
        requests
    }

    fn wait_for_requests(&self, end: Option<Instant>) -> Result<()> {
        let last = Instant::now() + LAST_REQUESTS;
        let last = end.map_or(last, |end| end.min(last));
        while self.shared.swap_cell.reclaim() > 0 {
            if Instant::now() >= last {
                return Err(Error::new(Status::Busy, "closed, but requests under way still hold a generation"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let is_closed = self.shared.published().closed;
        if !is_closed {
            self.close();
        }
    }
}
