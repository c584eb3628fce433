//! What a call changes about its thread while it runs.

/// Keeps a thread from being cancelled until this goes.
pub(super) struct Uncancelled {
    #[cfg(target_os = "linux")]
    before: Option<libc::c_int>,
}

#[cfg(target_os = "linux")]
mod cancel {
    use libc::c_int;

    pub(super) const DISABLE: c_int = 1;

    unsafe extern "C" {
        /// POSIX; the libc crate lacks it.
        pub(super) fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
}

impl Uncancelled {
    pub(super) fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            let mut before = 0;
            // SAFETY: `before` is a place for one int; a state that is not known is refused.
            let done = unsafe { cancel::pthread_setcancelstate(cancel::DISABLE, &raw mut before) };
            Self { before: (done == 0).then_some(before) }
        }
        #[cfg(not(target_os = "linux"))]
        Self {}
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(before) = self.before {
            // SAFETY: the state that this thread had; where the old one goes may be left out. A cancellation that waits is
            // acted upon at the caller's next cancellation point, not here.
            unsafe { cancel::pthread_setcancelstate(before, std::ptr::null_mut()) };
        }
    }
}

/// Keeps signals from a thread, and from those that it starts, until this goes. Except those that a thread's own fault raises:
/// if blocked, they would end the process without the host's handlers.
pub(super) struct WithoutSignals {
    #[cfg(unix)]
    before: Option<libc::sigset_t>,
}

impl WithoutSignals {
    pub(super) fn new() -> Self {
        #[cfg(unix)]
        {
            let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: `sigfillset` fills what the next calls read; the numbers are signals; `before` is read only after
            // `pthread_sigmask` wrote it.
            unsafe {
                libc::sigfillset(all.as_mut_ptr());
                for own in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
                    libc::sigdelset(all.as_mut_ptr(), own);
                }
                let done = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
                Self { before: (done == 0).then(|| before.assume_init()) }
            }
        }
        #[cfg(not(unix))]
        Self {}
    }
}

impl Drop for WithoutSignals {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            // SAFETY: the mask that this thread had; where the old one goes may be left out.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
        }
    }
}
