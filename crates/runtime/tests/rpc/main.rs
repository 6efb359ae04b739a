//! The serve loop and the channel, with the generated service `log.v1.Log`.

mod calls;
mod puppet;
#[cfg(madsim)]
mod simulated;
