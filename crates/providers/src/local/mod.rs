//! Speech in this process, without any key: Moonshine listens, Pico speaks, MiniLM embeds. All in a
//! small bounded pool of threads, never on a runtime thread.
