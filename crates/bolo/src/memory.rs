//! Freed memory goes back to the system. Runtime threads free much of what another of them allocated, and the allocator
//! keeps that for its owner until the owner looks: an idle server held 100 MB for 15 in use. So each thread looks now and
//! then, before it goes to sleep. Source: `mi_collect` in mimalloc's documentation.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// A thread looks so often. In an idle server it takes 0.1 to 0.6 ms; amid calls it was not measured by itself.
const EVERY: Duration = Duration::from_secs(10);

unsafe extern "C" {
    // Of the allocator that main.rs chooses.
    fn mi_collect(force: bool);
}

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// For each thread of a runtime, when it has nothing to do.
pub fn look() {
    let now = Instant::now();
    let is_due = |last: Instant| now.duration_since(last) >= EVERY;
    if LOOKED.get().is_none_or(is_due) {
        LOOKED.set(Some(now));
        // Forced, for else pages that were full are passed over (`mi_theap_collect_ex`).
        // SAFETY: takes no memory of ours and may be called at any time; it works on this thread's heap.
        unsafe { mi_collect(true) };
    }
}
