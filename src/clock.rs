//! The system's clock.

use std::time::SystemTime;

/// The system clock's time, in microseconds since 1970-01-01 UTC.
pub(crate) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
