//! The one binary: server, demo, operator's commands. The only crate that knows all others.

mod commands;
mod doze;
mod http;
mod low_water;
mod master_key;
mod node;
mod realtime;
mod settings;
mod telephony;

use std::{process::ExitCode, sync::Arc};

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads for what would hold up the others (files, names, searches). Each keeps memory of its own, and when many calls
/// end at once the default, 512, would all be asked for.
const BLOCKING_THREADS: usize = 16;

/// Exit code for wrong usage or configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    commands::init_logging(&arguments);
    // Before anything opens a TLS connection; fails only if it was done already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = match settings::Settings::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("bolo: {error:#}");
            return ExitCode::from(USAGE);
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(BLOCKING_THREADS);
    if arguments.is_server() {
        // Simulated callers and the relay that the server is compared with are spared it.
        let doze = Arc::new(doze::Doze::default());
        let dozing = doze.clone();
        runtime.on_thread_park(move || dozing.before_sleep());
        runtime.on_thread_unpark(move || doze.after_sleep());
    }
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bolo: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Now, while there are only this thread and the runtime's own.
    if settings.server.realtime
        && let Err(error) = realtime::claim()
    {
        eprintln!(
            "bolo: server.realtime: {error}; on Linux it needs CAP_SYS_NICE or an RLIMIT_RTPRIO of 1 \
             (systemd: LimitRTPRIO=1, Docker: --ulimit rtprio=1)"
        );
        return ExitCode::from(USAGE);
    }
    // After it: the threads that give freed memory back to the system may wait for the calls. Without them an idle
    // server keeps what its calls freed, for nothing allocates.
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        eprintln!("bolo: freed memory is kept for longer: {error}");
    }
    match runtime.block_on(commands::run(arguments, settings)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bolo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
