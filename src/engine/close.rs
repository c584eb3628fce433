//! Closing an engine.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Engine, Published};
use crate::error::{Error, Result, Status};

/// How long closing waits for requests under way. They take milliseconds.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

impl Engine {
    /// Stops following and withdraws the generation: from now on scorers answer `Closed`. Requests under way end well:
    /// this waits for them, for a second at most, then memory and maps go. (What a request holds for longer goes with its
    /// scorer.) It waits for the following thread, too: a bundle that is being staged is given up at the next golden request,
    /// table, 16,384 rows or 16 MiB, which takes well under a second unless the file system hangs. Closing twice does nothing.
    pub fn close(&self) {
        // Without a bound nothing is left to wait for, but requests that take longer than any should.
        let _ = self.close_by(None);
    }

    /// The same in `most` at most. From the first moment on scorers answer `Closed`.
    ///
    /// # Errors
    /// `Busy` when something goes on after that time, and what: the following thread in the middle of a bundle, or requests
    /// under way. It is closed all the same; what goes on ends by itself, and memory and maps go with it. Closing again waits
    /// for it again.
    pub fn close_within(&self, most: Duration) -> Result<()> {
        self.close_by(Instant::now().checked_add(most))
    }

    fn close_by(&self, end: Option<Instant>) -> Result<()> {
        self.shared.closing.store(true, Ordering::Relaxed);
        {
            let mut published = self.shared.published();
            *published = Published { closed: true, ..Published::default() };
            self.shared.cell.publish(None);
        }
        let follower = self.follower().take();
        if let Some(Err(looking)) = follower.map(|follower| follower.stop_by(end)) {
            // For whoever closes again, and has more time.
            *self.follower() = Some(looking);
            return Err(Error::new(Status::Busy, "closed, but the following thread is still opening a bundle"));
        }
        let last = Instant::now() + LAST_REQUESTS;
        let last = end.map_or(last, |end| end.min(last));
        while self.shared.cell.reclaim() > 0 {
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
