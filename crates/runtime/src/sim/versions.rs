//! Nodes of several versions: what one of another version than today's does not know is not in what it is sent, not in
//! what it sends, and not among the methods that it has.

use super::calls::AnyMessage;
use super::world::with;
use std::net::SocketAddr;
use std::rc::Rc;
use tonic::Status;

/// A call, as its server sees it.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// `/package.Service/Method`.
    pub path: &'a str,
    pub client: SocketAddr,
    pub server: SocketAddr,
}

/// Which versions its two ends have, and what comes of that.
pub trait Versions {
    /// Whether both have the method.
    fn have(&self, call: Call<'_>) -> bool;

    /// What of a message of the call both know.
    ///
    /// # Errors
    /// If it cannot be read.
    fn common(&self, call: Call<'_>, is_answer: bool, message: AnyMessage) -> Result<AnyMessage, Status>;
}

/// From now on the nodes of this world have these versions. They are asked at each message, and must do nothing to the
/// world.
pub fn set_versions(versions: impl Versions + 'static) {
    with(|world| world.versions = Some(Rc::new(versions)));
}

/// They are free to ask the world something.
fn versions() -> Option<Rc<dyn Versions>> {
    with(|world| world.versions.clone())
}

pub fn have(call: Call<'_>) -> bool {
    versions().is_none_or(|versions| versions.have(call))
}

pub fn common(call: Call<'_>, is_answer: bool, message: AnyMessage) -> Result<AnyMessage, Status> {
    match versions() {
        Some(versions) => versions.common(call, is_answer, message),
        None => Ok(message),
    }
}
