//! Calls before all other work of the machine: Linux's real-time scheduling for the threads that run them.

use std::io;

/// Gives every thread that the process has by now the lowest real-time priority (`SCHED_RR` 1, sched(7)): each runs
/// as soon as it can, before all threads without one, and is interrupted by none of them. Threads that they start
/// begin without it: those for SQLite, files, recordings and local speech wait for the calls.
///
/// May need `CAP_SYS_NICE` or an `RLIMIT_RTPRIO` of 1.
#[cfg(target_os = "linux")]
pub fn claim() -> io::Result<()> {
    for thread in std::fs::read_dir("/proc/self/task")? {
        let name = thread?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok());
        raise(thread.ok_or(io::ErrorKind::InvalidData)?)?;
    }
    Ok(())
}

// A call into the kernel: musl's own function refuses always.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn raise(thread: libc::pid_t) -> io::Result<()> {
    /// The kernel's `struct sched_param`.
    #[repr(C)]
    struct Parameter {
        sched_priority: libc::c_int,
    }
    let parameter = Parameter { sched_priority: 1 };
    // SAFETY: the kernel reads one C int behind the pointer, which is there until the call returns.
    let raised = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            thread,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameter,
        )
    };
    match raised {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn claim() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
